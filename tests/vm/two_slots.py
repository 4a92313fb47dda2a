# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A converted disk with a system in both slots, made on this machine: minutes less than a migration and an update.

Dispatcher, slot entries, fstab, overlays and boot sector are written by the code that stage two runs; table and
LVM metadata by sgdisk and ``lvm_image``, file systems by mke2fs.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.boot import (
    install,
    root_overlay,
    slot_entry,
    slot_state,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.layout import loader
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedLayout
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.resolve import DiskGeometry, resolve
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two import fstab

from tests.boot import lvm_image
from tests.lab.credentials import generate_login
from tests.lab.image import Image
from tests.lab.recipes import RECIPES

MIB = 1 << 20
DISK_BYTES = 6 << 30
ARGUMENTS = ["console=ttyS0,115200"]
RUNS = {"a": "20260102T030405Z-aaaaaa", "b": "20260102T030405Z-bbbbbb"}

_NETWORK = "[Match]\nName=en*\n[Network]\nDHCP=yes\n"
_NETWORK_IFUPDOWN = "auto lo\niface lo inet loopback\nauto ens3\niface ens3 inet dhcp\n"


def layout_document(roots: dict[str, Any]) -> dict[str, Any]:
    """Return a layout whose two slots have these ``root`` entries; extents as ``lvm_image`` makes them."""
    volumes = [{"id": one, "size": f"{size} MiB"} for one, size in (("root_a", 2300), ("root_b", 2300), ("data", 400))]
    kinds = [{"on": one["id"], "kind": "ext4", "label": one["id"]} for one in volumes]
    for system in kinds:
        system["mount"] = "/data" if system["on"] == "data" else "/"
    return {
        "name": "two-slots",
        "partitions": [
            {"id": "bios", "type": "bios_boot", "size": "2 MiB"},
            {"id": "dispatch", "type": "linux", "size": "200 MiB"},
            {"id": "system", "type": "lvm"},
        ],
        "volume_groups": [{"id": "host", "partitions": ["system"], "extent": "1 MiB", "volumes": volumes}],
        "file_systems": [
            {"on": "dispatch", "kind": "ext4", "mount": "/boot/dispatch", "options": "ro,nosuid,nodev,noexec,nofail"},
            *kinds,
        ],
        "slots": {slot: {"root": root} for slot, root in roots.items()},
        "dispatch": "dispatch",
    }


@dataclass(frozen=True)
class TwoSlots:
    """The image, and where on it lies what; ``places`` are pairs of start and length in bytes."""

    image: Image
    layout: ResolvedLayout
    places: dict[str, tuple[int, int]]


def build(
    folder: Path,
    payloads: dict[str, Path],
    environment: Path,
    roots: dict[str, Any],
    change: Callable[[Path], None] | None = None,
    arguments: Sequence[str] = (),
) -> TwoSlots:
    """Make the disk in ``folder`` from two payload archives; both slots are good.

    ``change`` may change a slot's files before, ``arguments`` are more words of the kernel's line.
    """
    layout = resolve(loader.load(layout_document(roots)), DiskGeometry(DISK_BYTES), RUNS["a"])
    image = Image(RECIPES["debian11"], folder)
    runner = CommandRunner()
    _write_table(image.disk, layout)
    places = _places(layout)
    group = layout.volume_groups[0]
    volumes = tuple(lvm_image.Volume(one.name, one.extents) for one in group.volumes)
    start, length = places["system"]
    _write(image.disk, start, lvm_image.header(group.name, volumes, length))
    login = generate_login("admin", folder)
    dispatch = folder / "dispatch"
    dispatch.mkdir()
    (folder / "host").mkdir()
    host_keys = _host_keys(folder)
    for slot in sorted(payloads, reverse=True):
        root = folder / "root"
        root.mkdir()
        subprocess.run(
            ["tar", "--extract", "--zstd", "--numeric-owner", "--xattrs", "--xattrs-include=*"]
            + [f"--file={payloads[slot]}", f"--directory={root}"],
            check=True,
        )
        _personalise(root, login, host_keys)
        if change is not None:
            change(root)
        plan = {**_plan(layout, slot), "kernel_arguments": [*ARGUMENTS, *arguments]}
        fstab.write(root, layout, slot)
        root_overlay.write(root, plan)
        if slot == "a":
            install.install(
                runner, layout, str(image.disk), dispatch, root, plan, environment, host_files=folder / "host"
            )
        else:
            slot_entry.write(root, plan["run_id"], plan["kernel_arguments"])
        _make_file_system(image.disk, layout, layout.slots[slot].root, root, places)
        shutil.rmtree(root)
    made = TwoSlots(image, layout, places)
    choose(made, "a")
    (folder / "empty").mkdir()
    _make_file_system(image.disk, layout, "data", folder / "empty", places)
    install.switch(str(image.disk), layout)
    known = tuple(" ".join(key.with_suffix(".pub").read_text().split()[:2]) for key in host_keys)
    dataclasses.replace(login, known_hosts=known).save(folder / "credentials.json")
    return made


def choose(made: TwoSlots, slot: str) -> None:
    """Let the dispatcher start a slot of a machine that is off."""
    dispatch = made.image.folder / "dispatch"
    order = (slot, "b" if slot == "a" else "a")
    slot_state.write(dispatch, slot_state.SlotState(order=order, slots={"a": "good", "b": "good"}))
    _make_file_system(made.image.disk, made.layout, "dispatch", dispatch, made.places)


def _plan(layout: ResolvedLayout, slot: str) -> dict[str, Any]:
    return {
        "layout": layout.to_document(),
        "slot": slot,
        "firmware": "bios",
        "run_id": RUNS[slot],
        "kernel_arguments": ARGUMENTS,
        "bundle": {"name": "test", "version": "1"},
        "payload": {"sha256": "0" * 64, "size": 1, "unpacked_bytes": 1},
        "mode": "migrate",
        "host": "gw-0815",
    }


def _places(layout: ResolvedLayout) -> dict[str, tuple[int, int]]:
    found = {one.id: (one.start_lba * 512, one.sectors * 512) for one in layout.partitions}
    base = found["system"][0] + lvm_image.DATA_START
    for volume in layout.volume_groups[0].volumes:
        found[volume.id] = (base + volume.first * lvm_image.EXTENT, volume.bytes)
    return found


def _write_table(disk: Path, layout: ResolvedLayout) -> None:
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    argv = ["sgdisk", f"--disk-guid={layout.disk_guid}"]
    for part in layout.partitions:
        argv += [f"--new={part.number}:{part.start_lba}:{part.last_lba}", f"--typecode={part.number}:{part.type_guid}"]
        argv += [f"--change-name={part.number}:{part.name}", f"--partition-guid={part.number}:{part.uuid}"]
    subprocess.run([*argv, str(disk)], check=True, capture_output=True)


def _write(disk: Path, offset: int, data: bytes) -> None:
    with disk.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def _make_file_system(
    disk: Path, layout: ResolvedLayout, on: str, source: Path, places: dict[str, tuple[int, int]]
) -> None:
    system = layout.file_system(on)
    offset, length = places[on]
    argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-U", system.uuid, "-L", system.label]
    argv += ["-E", f"offset={offset},nodiscard", "-d", str(source), str(disk), f"{length // 1024}k"]
    subprocess.run(argv, check=True, capture_output=True)


def _host_keys(folder: Path) -> list[Path]:
    path = folder / "ssh_host_ed25519_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return [path]


def _personalise(root: Path, login: Any, host_keys: list[Path]) -> None:
    """Make the system reachable as the lab's user, by either program for the network."""
    for path in host_keys:
        for name, mode in ((path, 0o600), (path.with_suffix(".pub"), 0o644)):
            shutil.copyfile(name, root / "etc/ssh" / name.name)
            (root / "etc/ssh" / name.name).chmod(mode)
    if (root / "usr/sbin/ifup").exists():
        (root / "etc/network/interfaces").write_text(_NETWORK_IFUPDOWN)
    else:
        (root / "etc/systemd/network/10-lab.network").write_text(_NETWORK)
    (root / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")
    (root / "etc/hostname").write_text("gw-0815\n")
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    for timer in ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer"):
        (root / "etc/systemd/system" / timer).symlink_to("/dev/null")
    subprocess.run(["chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", "admin"], check=True)
    sudoers = root / "etc/sudoers.d/admin"
    sudoers.write_text("admin ALL=(ALL) NOPASSWD: ALL\n")
    sudoers.chmod(0o440)
    folder = root / "home/admin/.ssh"
    folder.mkdir(mode=0o700)
    (folder / "authorized_keys").write_text(login.public_key + "\n")
    subprocess.run(["chroot", str(root), "chown", "-R", "admin:", "/home/admin/.ssh"], check=True)


def describe(made: TwoSlots) -> str:
    """Return the layout as the guest can read it."""
    return json.dumps(made.layout.to_document())
