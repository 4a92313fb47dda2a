# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real upgrades of the distribution's kernel and GRUB in each slot: dispatcher and other slot stay as they are.

Slot a has its root below an overlay on the data volume, slot b an ordinary one. Both have the newest kernel but one.
GRUB is installed for the first time, told to write to the host's disk, and then upgraded, or installed once more
where the distribution has one version only. With ``DUALROOT_SOAK``: an initramfs made under emulation takes minutes.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.bundles import Bundle
from tests.lab.hardware import Options
from tests.lab.machine import Machine

from . import two_slots
from .conftest import remember, soak
from .payloads import OLDER_KERNEL, changed
from .test_overlay_root import RESTART_SECONDS, Guest

pytestmark = soak

ROOTS = {"a": {"volume": "root_a", "mode": "overlay-data"}, "b": "root_b"}
UPGRADE_SECONDS = 2400.0
#: What nobody but this project may write: boot sector and both partitions of the dispatcher.
DISPATCHER = ("boot sector and table", "bios", "dispatch")

_GRUB = """\
export DEBIAN_FRONTEND=noninteractive
echo 'grub-pc grub-pc/install_devices multiselect /dev/vda' | debconf-set-selections
echo 'grub-pc grub-pc/install_devices_empty boolean false' | debconf-set-selections
apt-get install -y -q --no-install-recommends grub-pc
apt-get install -y -q --reinstall grub-pc
dpkg-reconfigure grub-pc
update-grub
grub-install /dev/vda
"""


@pytest.fixture(scope="module")
def guest(request: pytest.FixtureRequest, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    (payload,) = (bundle.folder / "payload").iterdir()
    older = changed(payload, "older-kernel", OLDER_KERNEL)
    folder = tmp_path_factory.mktemp("upgrades")
    (folder / "image").mkdir()
    made = two_slots.build(folder / "image", {"a": older, "b": older}, bundle.folder / "environment", ROOTS)
    machine = Machine.create(folder / "gw-0815", Options(image="debian11", memory_mib=1536), made.image)
    remember(request.config, machine)
    try:
        machine.start()
        machine.wait_for_ssh(RESTART_SECONDS)
        yield Guest(machine, made)
    finally:
        machine.stop()


def _digests(guest: Guest, folder: Path) -> dict[str, str]:
    """Return a digest of each part of the disk of the stopped machine."""
    raw = folder / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(guest.machine.disk), str(raw)], check=True)
    found = {}
    places = {"boot sector and table": (0, 34 * 512), **guest.made.places}
    with raw.open("rb") as file:
        for name, (start, length) in places.items():
            file.seek(start)
            digest = hashlib.sha256()
            while length > 0:
                piece = file.read(min(length, 1 << 22))
                digest.update(piece)
                length -= len(piece)
            found[name] = digest.hexdigest()
    raw.unlink()
    return found


def _off(guest: Guest) -> None:
    guest.machine.power_down(RESTART_SECONDS)


def _on(guest: Guest, slot: str) -> None:
    guest.machine.start()
    guest.machine.wait_for_ssh(RESTART_SECONDS)
    assert f"dualroot.slot={slot}" in guest.shell("cat /proc/cmdline")


def _kernel(guest: Guest) -> str:
    return guest.shell("uname -r")


@pytest.mark.parametrize("slot", ["a", "b"])
def test_upgrades_touch_their_own_slot_only(guest: Guest, slot: str, tmp_path: Path) -> None:
    other = {"a": "b", "b": "a"}[slot]
    if slot == "b":
        guest.shell("/usr/local/sbin/dualroot-slot bad a")
    _off(guest)
    before = _digests(guest, tmp_path)
    _on(guest, slot)
    old = _kernel(guest)
    guest.shell("apt-get update -q", UPGRADE_SECONDS)
    guest.shell("DEBIAN_FRONTEND=noninteractive apt-get install -y -q linux-image-cloud-amd64", UPGRADE_SECONDS)
    said = guest.shell(f"exec 2>&1; {_GRUB}", UPGRADE_SECONDS)
    # Packages and people did run the installer, and it did nothing: twice by the packages, reconfigured, by hand.
    assert said.count("grub-install: not run: the dispatcher of dualroot.migrate owns the boot loader") >= 3, said
    assert guest.shell("dpkg -l grub-pc | tail -n 1").startswith("ii")
    guest.shell("sync")
    _off(guest)
    after = _digests(guest, tmp_path)
    assert {name: after[name] for name in DISPATCHER} == {name: before[name] for name in DISPATCHER}
    assert after[f"root_{other}"] == before[f"root_{other}"]
    assert after[f"root_{slot}"] != before[f"root_{slot}"]
    _on(guest, slot)
    assert _kernel(guest) != old
    assert guest.shell("systemctl --failed --no-legend") == ""
    assert guest.differences(slot) == []
    # The kernel that is gone is gone where the dispatcher looks, too, once nobody runs it.
    guest.shell(f"DEBIAN_FRONTEND=noninteractive apt-get purge -y -q linux-image-{old}", UPGRADE_SECONDS)
    own = "/run/dualroot/root/lower" if slot == "a" else ""
    assert old not in guest.shell(f"ls {own}/boot {own}/usr/lib/modules")
    assert _kernel(guest) in guest.shell(f"cat {own}/boot/dualroot/slot.cfg")


def test_the_slots_still_start(guest: Guest) -> None:
    guest.restart()
    assert "dualroot.slot=b" in guest.shell("cat /proc/cmdline")
