# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Roots below an overlay, on a real machine: both modes, initramfs-tools and dracut.

One disk has both modes, so that one start after another shows them: slot a forgets, slot b keeps. With
``DUALROOT_SOAK``; ``test_overlay_start`` shows the same without all that comes behind the initramfs.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.bundles import Bundle
from tests.lab.guest import MachineError
from tests.lab.hardware import Options
from tests.lab.machine import Machine

from . import two_slots
from .conftest import remember, soak
from .payloads import DRACUT, changed

ROOTS = {
    "a": {"volume": "root_a", "mode": "overlay-tmpfs", "memory": "200 MiB", "persist": ["/etc", "/var"]},
    "b": {"volume": "root_b", "mode": "overlay-data"},
}
RESTART_SECONDS = 600.0

#: What the guest's own Python makes of the disk: the differences from the layout, as verify sees them.
_DIFFERENCES = """
import json, sys
sys.path.insert(0, "/run/engine")
from module_utils.layout.diff import diff
from module_utils.layout.model import ResolvedLayout
from module_utils.probe.disk import read_layout
from module_utils.runner import CommandRunner
layout = ResolvedLayout.from_document(json.load(open("/run/layout.json")))
seen = read_layout(CommandRunner(), "/dev/vda")
print(json.dumps([str(one) for one in diff(layout, seen, "commit", slot=sys.argv[1])]))
"""


class Guest:
    """The machine, and what the tests ask of it."""

    def __init__(self, machine: Machine, made: two_slots.TwoSlots) -> None:
        self.machine = machine
        self.made = made

    def shell(self, command: str, timeout: float = 300.0) -> str:
        return self.machine.ssh(f"sudo sh -c {shlex.quote(command)}", timeout=timeout).strip()

    def restart(self, command: str = "systemctl reboot") -> None:
        """Restart by a command, or by the reset button where it is empty; return when the guest is back."""
        before = self.shell("cat /proc/sys/kernel/random/boot_id")
        if command:
            with _gone():
                self.shell(command, timeout=30)
        else:
            self.machine.reset()
        end = time.monotonic() + RESTART_SECONDS
        while time.monotonic() < end:
            with _gone():
                if self.shell("cat /proc/sys/kernel/random/boot_id", timeout=30) != before:
                    return
            time.sleep(2)
        raise AssertionError(f"the guest did not come back; see {self.machine.serial_log}")

    def differences(self, slot: str) -> list[str]:
        """Return how the running slot differs from the layout."""
        # On a crowded machine udev may need longer than systemd waits for it (nofail).
        self.shell("mountpoint -q /boot/dispatch || mount /boot/dispatch")
        engine = Path(two_slots.root_overlay.__file__).parents[1]
        packed = subprocess.run(
            ["tar", "--create", "--exclude=__pycache__", f"--directory={engine.parent}", "module_utils"],
            check=True,
            capture_output=True,
        ).stdout
        argv = self.machine.ssh_command("sudo mkdir -p /run/engine && sudo tar -x -C /run/engine")
        subprocess.run(argv, input=packed, check=True, timeout=300)
        for name, text in (("layout.json", two_slots.describe(self.made)), ("differences.py", _DIFFERENCES)):
            argv = self.machine.ssh_command(f"sudo tee /run/{name} >/dev/null")
            subprocess.run(argv, input=text.encode(), check=True, timeout=300)
        found: list[str] = json.loads(self.shell(f"python3 /run/differences.py {slot}"))
        return found


def _gone() -> contextlib.AbstractContextManager[None]:
    return contextlib.suppress(MachineError, subprocess.TimeoutExpired)


pytestmark = soak


@pytest.fixture(scope="module", params=["a-initramfs-tools", "a-dracut"])
def guest(request: pytest.FixtureRequest, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    (payload,) = (bundle.folder / "payload").iterdir()
    payloads = {"a": payload, "b": changed(payload, "dracut", DRACUT)}
    if request.param == "a-dracut":
        payloads = {"a": payloads["b"], "b": payload}
    folder = tmp_path_factory.mktemp("overlay")
    made = two_slots.build(_made(folder / "image"), payloads, bundle.folder / "environment", ROOTS)
    machine = Machine.create(folder / "gw-0815", Options(image="debian11"), made.image)
    remember(request.config, machine)
    try:
        machine.start()
        machine.wait_for_ssh(RESTART_SECONDS)
        yield Guest(machine, made)
    finally:
        machine.stop()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


#: Files and whether they are there after a restart, by mode.
FILES = {
    "/root-file": {"a": False, "b": True},
    "/usr/bin/file": {"a": False, "b": True},
    "/etc/file": {"a": True, "b": True},
    "/var/lib/file": {"a": True, "b": True},
    "/data/file": {"a": True, "b": True},
}


def _there(guest: Guest) -> dict[str, bool]:
    said = guest.shell(f"for one in {' '.join(FILES)}; do [ -e $one ] && echo $one; done; true").split()
    return {name: name in said for name in FILES}


def _write(guest: Guest) -> None:
    guest.shell(f"for one in {' '.join(FILES)}; do echo new >$one || exit 1; done; sync")


@pytest.mark.parametrize("slot", ["a", "b"])
def test_what_is_written_is_there_or_gone_as_the_layout_says(guest: Guest, slot: str) -> None:
    if f"dualroot.slot={slot}" not in guest.shell("cat /proc/cmdline"):
        guest.shell(f"/usr/local/sbin/dualroot-slot bad {'b' if slot == 'a' else 'a'}")
        guest.restart()
    assert f"dualroot.slot={slot}" in guest.shell("cat /proc/cmdline")
    kind = "dracut" if guest.shell("ls /usr/bin/dracut /usr/sbin/dracut 2>/dev/null; true") else "initramfs-tools"
    assert guest.shell(". /run/dualroot/root/state; echo $MODE $PROBLEM") == ROOTS[slot]["mode"], kind
    assert guest.differences(slot) == []
    assert guest.shell("systemctl --failed --no-legend") == ""
    _write(guest)
    assert all(_there(guest).values())
    # Nothing of it was written into the slot's own root.
    own = "/run/dualroot/root/lower"
    assert guest.shell(f"ls {own}/root-file {own}/etc/file {own}/usr/bin/file 2>/dev/null; true") == ""
    guest.restart()
    assert _there(guest) == {name: there[slot] for name, there in FILES.items()}
    assert guest.shell("systemctl --failed --no-legend") == ""


def test_a_power_cut_loses_nothing_that_was_synced(guest: Guest) -> None:
    assert "dualroot.slot=b" in guest.shell("cat /proc/cmdline")
    guest.shell("echo cut >/etc/cut; sync")
    guest.restart("")
    assert guest.shell("cat /etc/cut; . /run/dualroot/root/state; echo $MODE$PROBLEM") == "cut\noverlay-data"
    assert guest.differences("b") == []


def test_a_new_kernel_is_started_from_the_root_itself(guest: Guest) -> None:
    """As a package leaves it: its files, and then its hooks are run."""
    assert "dualroot.slot=b" in guest.shell("cat /proc/cmdline")
    guest.shell(
        "old=$(uname -r); cd /boot && cp vmlinuz-$old vmlinuz-99.1 && cp initrd.img-$old initrd.img-99.1"
        " && cp -a /usr/lib/modules/$old /usr/lib/modules/99.1 && run-parts --arg=99.1 /etc/initramfs/post-update.d"
    )
    assert guest.shell("ls /run/dualroot/root/lower/boot/vmlinuz-99.1")
    guest.restart()
    assert "/boot/vmlinuz-99.1 " in guest.shell("cat /proc/cmdline")
    assert guest.differences("b") == []


def test_the_root_itself_is_changed_on_purpose_only(guest: Guest) -> None:
    guest.shell("dualroot-root run sh -c 'echo lasting >/usr/lasting'")
    assert guest.shell("cat /run/dualroot/root/lower/usr/lasting") == "lasting"
    assert " ro," in guest.shell("grep ' /run/dualroot/root/lower ' /proc/mounts")
