# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much memory stage two will need, and how long the host will be away.

The constants are careful figures for a modest server (one core for decompression, a disk that
writes 100 MiB/s); a rehearsal of the same host replaces those that it measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..units import MIB

#: The kernel's own memory, sshd, the stage-two program, a decompressor's window, buffers: whole migrations
#: used 80 to 95 MiB (QEMU, 768 MiB to 2 GiB of memory) beyond the sizes that are known from the bundle.
WORKING_BYTES = 112 * MIB
#: What must stay free beyond the predicted peak.
MARGIN_BYTES = 64 * MIB
#: Emulated processors are about this much slower (measured under QEMU TCG).
EMULATION_SLOWDOWN = 8.0


@dataclass(frozen=True)
class Rates:
    """Seconds and bytes per second; ``calibrated`` names what the rehearsal ``calibrated_by`` measured."""

    enter_seconds: float = 30.0
    attach_seconds: float = 5.0
    load_rate: float = 120.0 * MIB
    await_seconds: float = 5.0
    partition_seconds: float = 3.0
    volumes_seconds: float = 8.0
    restore_rate: float = 60.0 * MIB
    configure_seconds: float = 2.0
    boot_seconds: float = 5.0
    seal_seconds: float = 3.0
    start_seconds: float = 45.0
    calibrated: tuple[str, ...] = ()
    calibrated_by: str = ""


@dataclass(frozen=True)
class Prediction:
    """``peak_ram_bytes`` is what stage two will use, ``needed_ram_bytes`` what the host must have.

    ``lifeboat`` tells whether the payload is read from one, instead of being held in memory.
    """

    peak_ram_bytes: int
    needed_ram_bytes: int
    downtime_seconds: int
    phases: Mapping[str, int]
    calibrated: tuple[str, ...] = ()
    calibrated_by: str = ""
    lifeboat: bool = False

    def to_document(self) -> dict[str, Any]:
        return {
            "peak_ram_bytes": self.peak_ram_bytes,
            "needed_ram_bytes": self.needed_ram_bytes,
            "downtime_seconds": self.downtime_seconds,
            "phases": dict(self.phases),
            "calibrated": list(self.calibrated),
            "calibrated_by": self.calibrated_by,
            "lifeboat": self.lifeboat,
        }


def predict(
    facts: Mapping[str, Any],
    manifest: Mapping[str, Any],
    rehearsal: Mapping[str, Any] | None,
    *,
    lifeboat: bool = False,
    copied_bytes: int = 0,
) -> Prediction:
    """Predict memory and downtime from the sizes of the bundle and what is known of the host.

    ``copied_bytes`` of the lifeboat wait for stage two, which has to write them into swap.
    """
    rates = scaled(Rates(), EMULATION_SLOWDOWN) if facts.get("virtualization") == "qemu" else Rates()
    if rehearsal:
        rates = calibrate(rates, rehearsal)
    phases = _phases(rates, manifest, copied_bytes)
    peak = peak_ram(manifest, lifeboat)
    names = rates.calibrated
    if rehearsal and bool(rehearsal.get("lifeboat")) == lifeboat and _measured_ram(rehearsal) > peak:
        # Only ever upwards: a rehearsal ends before the payload is unpacked.
        peak, names = _measured_ram(rehearsal), tuple(sorted({*names, "memory"}))
    return Prediction(
        peak_ram_bytes=peak,
        needed_ram_bytes=max(peak + MARGIN_BYTES, _boot_ram(manifest)),
        downtime_seconds=sum(phases.values()),
        phases=phases,
        calibrated=names,
        calibrated_by=rates.calibrated_by,
        lifeboat=lifeboat,
    )


def peak_ram(manifest: Mapping[str, Any], lifeboat: bool = False) -> int:
    """Return stage two's peak: its own system, the packed payload, the recovery system's files.

    The payload is streamed from memory to disk, so its unpacked size does not count; with a lifeboat it is
    streamed from disk to disk, and only stage two's own system counts.
    """
    own = int(manifest["environment"]["unpacked_bytes"]) + WORKING_BYTES
    return own if lifeboat else own + int(manifest["payload"]["size"]) + staged_boot_bytes(manifest)


def _measured_ram(rehearsal: Mapping[str, Any]) -> int:
    return int(rehearsal.get("peak_ram_bytes") or 0)


def staged_boot_bytes(manifest: Mapping[str, Any]) -> int:
    """Return the bytes of convert kernel and initramfs together."""
    environment = manifest["environment"]
    return int(environment["kernel"]["size"]) + int(environment["initrd"]["size"])


def _boot_ram(manifest: Mapping[str, Any]) -> int:
    # An initramfs is unpacked into a tmpfs that takes half of the memory at the most
    # (Documentation/filesystems/ramfs-rootfs-initramfs.rst, tmpfs.rst).
    return 2 * int(manifest["environment"]["unpacked_bytes"]) + WORKING_BYTES


def _phases(rates: Rates, manifest: Mapping[str, Any], copied_bytes: int) -> dict[str, int]:
    packed = int(manifest["payload"]["size"]) + staged_boot_bytes(manifest)
    unpacked = int(manifest["payload"]["unpacked_bytes"])
    seconds = {
        "enter": rates.enter_seconds,
        "attach": rates.attach_seconds,
        "load": (packed + copied_bytes) / rates.load_rate,
        "await": rates.await_seconds,
        "partition": rates.partition_seconds,
        "volumes": rates.volumes_seconds,
        "restore": unpacked / rates.restore_rate,
        "configure": rates.configure_seconds,
        "boot": rates.boot_seconds,
        "seal": rates.seal_seconds,
        "start": rates.start_seconds,
    }
    return {name: max(1, round(value)) for name, value in seconds.items()}


def scaled(rates: Rates, factor: float) -> Rates:
    """Return rates of a machine that is slower by ``factor``; waiting for the controller stays."""
    values: dict[str, Any] = {}
    for name in Rates.__dataclass_fields__:
        value = getattr(rates, name)
        if name.endswith("_rate"):
            values[name] = value / factor
        # Firmware timers and device probing do not scale with the processor.
        elif name.endswith("_seconds") and name != "await_seconds":
            values[name] = value * (1 + (factor - 1) / 4)
    return replace(rates, **values)


def calibrate(rates: Rates, rehearsal: Mapping[str, Any]) -> Rates:
    """Replace what a rehearsal measured; ``rehearsal`` is its ``result.json``.

    Reading and unpacking share processor and disk, so the measured rate of ``load`` scales the
    predicted one of ``restore``, within a factor of four.
    """
    measured = {phase["name"]: float(phase["seconds"]) for phase in rehearsal.get("phases") or []}
    values: dict[str, Any] = {}
    for name in ("attach", "await"):
        if measured.get(name, 0) > 0:
            values[f"{name}_seconds"] = measured[name]
    payload = float(rehearsal.get("payload_bytes") or 0)
    if payload and measured.get("load", 0) > 0:
        values["load_rate"] = payload / measured["load"]
        factor = min(4.0, max(0.25, values["load_rate"] / rates.load_rate))
        values["restore_rate"] = rates.restore_rate * factor
    away = float(rehearsal.get("downtime_seconds") or 0) - sum(measured.values())
    if measured and away > 0:
        # A rehearsal enters stage two and starts a system again, as a migration does.
        share = away / (rates.enter_seconds + rates.start_seconds)
        values.update(enter_seconds=rates.enter_seconds * share, start_seconds=rates.start_seconds * share)
    names = tuple(sorted({name.rsplit("_", 1)[0] for name in values}))
    return replace(rates, **values, calibrated=names, calibrated_by=str(rehearsal.get("run_id") or "") if names else "")
