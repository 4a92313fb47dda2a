# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real upgrades of the distribution's kernel and GRUB in each slot: dispatcher and other slot stay as they are.

Both slots have the newest kernel but one, and no GRUB. The packages are upgraded on the disk of a machine that is off,
in the slot's own root with the whole disk as ``/dev/vda``, because an initramfs that is made under emulation takes
minutes; then the machine starts from it. GRUB is first that of the release before, told to write to that disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
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

#: What nobody but this project may write.
DISPATCHER = ("boot sector and table", "bios", "dispatch")
NOT_RUN = "grub-install: not run: the dispatcher of dualroot.migrate owns the boot loader"

#: In a name space of its own; $DEVICE is the slot's root, $DISK the whole disk. No other disk has a node.
_MOUNT = """\
set -eu
mount "$DEVICE" "$ROOT"
mount -t tmpfs dev "$ROOT/dev"
for one in null zero full random urandom tty; do
    touch "$ROOT/dev/$one"
    mount --bind "/dev/$one" "$ROOT/dev/$one"
done
mknod "$ROOT/dev/vda" b $(stat -c '0x%t 0x%T' "$DISK")
# By its own name, because mountinfo has that.
mknod "$ROOT$DEVICE" b $(stat -c '0x%t 0x%T' "$DEVICE")
ln -s /proc/self/fd "$ROOT/dev/fd"
mount -t proc proc "$ROOT/proc"
mount -t sysfs -o ro sys "$ROOT/sys"
mount -t tmpfs run "$ROOT/run"
cp --remove-destination /etc/resolv.conf "$ROOT/run/resolv.conf"
mount --bind "$ROOT/run/resolv.conf" "$ROOT/etc/resolv.conf"
printf '#!/bin/sh\\nexit 101\\n' > "$ROOT/usr/sbin/policy-rc.d"
chmod 755 "$ROOT/usr/sbin/policy-rc.d"
chroot "$ROOT" /bin/sh -c "$UPGRADE"
rm "$ROOT/usr/sbin/policy-rc.d"
umount "$ROOT/etc/resolv.conf"
"""
_UPGRADE = """\
set -eu
exec 2>&1
export DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
echo 'grub-pc grub-pc/install_devices multiselect /dev/vda' | debconf-set-selections
echo 'grub-pc grub-pc/install_devices_empty boolean false' | debconf-set-selections
# It writes the slot's own grub.cfg, which nothing reads, and cannot work on a loop device.
dpkg-divert --quiet --local --rename --add /usr/sbin/update-grub
ln -s /bin/true /usr/sbin/update-grub
dpkg-divert --list | grep local
echo 'deb http://deb.debian.org/debian bookworm main' > /etc/apt/sources.list.d/before.list
apt-get update -q
echo "kernels before: $(ls /boot/vmlinuz-*)"
apt-get install -y -q --no-install-recommends linux-image-cloud-amd64
old=$(apt-cache madison grub-pc | awk '$3 ~ /deb12/ { print $3 }' | head -n 1)
apt-get install -y -q --no-install-recommends grub-pc="$old" grub-common="$old" grub2-common="$old" grub-pc-bin="$old"
echo "GRUB before: $(dpkg-query -W grub-pc)"
# Only where GRUB was installed by hand once do its packages do it from then on.
mkdir -p /boot/grub/i386-pc
touch /boot/grub/i386-pc/core.img
rm /etc/apt/sources.list.d/before.list
apt-get update -q
apt-get install -y -q --no-install-recommends grub-pc
echo "GRUB after: $(dpkg-query -W grub-pc)"
dpkg-reconfigure grub-pc
grub-install /dev/vda
/usr/sbin/grub-install /dev/vda
"""


@pytest.fixture(scope="module")
def made(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> two_slots.TwoSlots:
    (payload,) = (bundle.folder / "payload").iterdir()
    older = changed(payload, "older-kernel", OLDER_KERNEL)
    folder = tmp_path_factory.mktemp("upgrades")
    roots = {"a": "root_a", "b": "root_b"}
    return two_slots.build(folder, {"a": older, "b": older}, bundle.folder / "environment", roots)


def _digests(made: two_slots.TwoSlots) -> dict[str, str]:
    """Return a digest of each part of the disk."""
    found = {}
    with made.image.disk.open("rb") as file:
        for name, (start, length) in {DISPATCHER[0]: (0, 34 * 512), **made.places}.items():
            file.seek(start)
            digest = hashlib.sha256()
            while length > 0:
                piece = file.read(min(length, 1 << 22))
                digest.update(piece)
                length -= len(piece)
            found[name] = digest.hexdigest()
    return found


@contextlib.contextmanager
def _loop(made: two_slots.TwoSlots, start: int, length: int) -> Iterator[str]:
    """Give a part of the disk a device of its own."""
    argv = ["losetup", "--find", "--show", f"--offset={start}", f"--sizelimit={length}", str(made.image.disk)]
    device = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def _upgrade(made: two_slots.TwoSlots, slot: str, root: Path) -> str:
    """Upgrade the packages of a slot; return what the package manager said."""
    start, length = made.places[f"root_{slot}"]
    with _loop(made, 0, made.image.disk.stat().st_size) as disk, _loop(made, start, length) as device:
        environment = {"PATH": os.environ["PATH"], "ROOT": str(root), "DISK": disk, "DEVICE": device}
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MOUNT],
            env={**environment, "UPGRADE": _UPGRADE},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return done.stdout


@soak
@pytest.mark.parametrize("slot", ["a", "b"])
def test_upgrades_touch_their_own_slot_only(made: two_slots.TwoSlots, slot: str, tmp_path: Path) -> None:
    other = {"a": "b", "b": "a"}[slot]
    before = _digests(made)
    said = _upgrade(made, slot, tmp_path)
    after = _digests(made)
    # The packages and a person did run the installer, and it did nothing: upgraded, reconfigured, by hand twice.
    assert said.count(NOT_RUN) == 4, said
    assert said.count("grub-pc: Running grub-install") == 2, said
    versions = [line.split()[-1] for line in said.splitlines() if line.startswith(("GRUB before", "GRUB after"))]
    assert len(set(versions)) == 2, versions
    assert {name: after[name] for name in DISPATCHER} == {name: before[name] for name in DISPATCHER}
    assert after[f"root_{other}"] == before[f"root_{other}"]
    assert after[f"root_{slot}"] != before[f"root_{slot}"]


@pytest.fixture(scope="module")
def guest(
    request: pytest.FixtureRequest, made: two_slots.TwoSlots, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    machine = Machine.create(tmp_path_factory.mktemp("host") / "gw-0815", Options(image="debian11"), made.image)
    remember(request.config, machine)
    try:
        machine.start()
        machine.wait_for_ssh(RESTART_SECONDS)
        yield Guest(machine, made)
    finally:
        machine.stop()


@soak
@pytest.mark.parametrize("slot", ["a", "b"])
def test_each_slot_starts_its_new_kernel(guest: Guest, slot: str) -> None:
    if slot == "b":
        guest.shell("/usr/local/sbin/dualroot-slot bad a")
        guest.restart()
    assert f"dualroot.slot={slot}" in guest.shell("cat /proc/cmdline")
    kernels = guest.shell("ls -v /boot/vmlinuz-*").split()
    assert len(kernels) == 2
    assert kernels[-1].endswith(guest.shell("uname -r"))
    assert guest.differences(slot) == []
    assert guest.shell("systemctl --failed --no-legend") == ""
