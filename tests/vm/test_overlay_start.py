# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Roots below an overlay: real GRUB, kernels and initramfs of both kinds, and a small init that looks and writes.

What comes behind the initramfs is left out, so a start takes seconds; ``test_overlay_root`` has whole systems.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import root_overlay

from tests.lab import accelerator
from tests.lab.bundles import Bundle

from . import two_slots
from .conftest import soak
from .payloads import DRACUT, changed

ROOTS = {
    "a": {"volume": "root_a", "mode": "overlay-tmpfs", "memory": "100 MiB", "persist": ["/etc", "/var"]},
    "b": {"volume": "root_b", "mode": "overlay-data"},
}
START_SECONDS = 900
LAB = "usr/lib/lab"

#: Files that each start writes, and whether the next one finds them, by mode.
FILES = {
    "/root-file": {"a": False, "b": True},
    "/usr/bin/file": {"a": False, "b": True},
    "/etc/file": {"a": True, "b": True},
    "/var/lib/file": {"a": True, "b": True},
    "/data/file": {"a": True, "b": True},
}

_INIT = """\
#!/bin/sh
exec >/dev/ttyS0 2>&1 </dev/null
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sys /sys
mkdir -p /run/lock
# The initramfs has activated what it needs; the rest comes by events in a whole system. Here is no udev.
vgchange -aay --sysinit --config 'activation { udev_sync = 0 udev_rules = 0 }' >/dev/null 2>&1
mount /data
mount /boot/dispatch
own=/run/dualroot/root/lower
echo
for one in @FILES@; do
    if [ -e $one ]; then echo "LAB there $one"; fi
    if [ -e $own$one ]; then echo "LAB in-the-root $one"; fi
    echo new >$one || echo "LAB cannot-write $one"
done
. /run/dualroot/root/state
echo "LAB state $MODE $PROBLEM"
echo "LAB slot $(grep -o 'dualroot.slot=.' /proc/cmdline)"
echo "LAB memory $(stat -f -c '%b %S' /run/dualroot/root/upper)"
echo "LAB differences $(python3 /@LAB@/differences.py 2>&1 | tail -n 1)"
echo "LAB end"
sync
# As at a power cut, but for what was synced.
echo b >/proc/sysrq-trigger
sleep 100
"""
_DIFFERENCES = """\
import json, re, sys
sys.path.insert(0, "/usr/lib/lab")
from module_utils.layout.diff import diff
from module_utils.layout.model import ResolvedLayout
from module_utils.probe.disk import read_layout
from module_utils.runner import CommandRunner
layout = ResolvedLayout.from_document(json.load(open("/boot/dispatch/layout.json")))
slot = re.search("dualroot.slot=(.)", open("/proc/cmdline").read())[1]
print([str(one) for one in diff(layout, read_layout(CommandRunner(), "/dev/vda"), "commit", slot=slot)])
"""


def _prepare(root: Path) -> None:
    """Give a slot the init of these tests, and the engine for it."""
    folder = root / LAB
    folder.mkdir()
    text = _INIT.replace("@FILES@", " ".join(FILES)).replace("@LAB@", LAB)
    (folder / "init").write_text(text)
    (folder / "init").chmod(0o755)
    (folder / "differences.py").write_text(_DIFFERENCES)
    engine = Path(root_overlay.__file__).parents[1]
    shutil.copytree(engine, folder / "module_utils", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "data").mkdir(exist_ok=True)
    (root / "boot/dispatch").mkdir(exist_ok=True)


class Starts:
    """The disk of two slots, each with its kind of initramfs."""

    def __init__(self, made: two_slots.TwoSlots) -> None:
        self.made = made

    def start(self) -> list[str]:
        """Start once; return what the small init said, word by word after ``LAB``."""
        argv = ["qemu-system-x86_64", *accelerator.qemu_arguments(), "-m", "640", "-display", "none"]
        argv += ["-serial", "stdio", "-monitor", "none", "-no-reboot", "-net", "none"]
        argv += ["-drive", f"file={self.made.image.disk},format=raw,if=none,id=disk,cache=unsafe"]
        argv += ["-device", "virtio-blk-pci,drive=disk"]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=START_SECONDS, check=True)
        text = done.stdout.decode("utf-8", "replace").replace("\r", "")
        if "DUALROOT_SHOW_BOOTS" in os.environ:
            print(text)
        assert "LAB end" in text, text[-3000:]
        return [line[4:].strip() for line in text.splitlines() if line.startswith("LAB ")]


pytestmark = soak
EXCHANGED = ("dracut", "initramfs-tools")


@pytest.fixture(scope="module", params=[("initramfs-tools", "dracut"), EXCHANGED], ids="-and-".join)
def starts(request: pytest.FixtureRequest, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Starts:
    (payload,) = (bundle.folder / "payload").iterdir()
    kinds = {"initramfs-tools": payload, "dracut": changed(payload, "dracut", DRACUT)}
    return Starts(
        two_slots.build(
            tmp_path_factory.mktemp("overlay"),
            {slot: kinds[kind] for slot, kind in zip("ab", request.param)},
            bundle.folder / "environment",
            ROOTS,
            _prepare,
            [f"init=/{LAB}/init"],
        )
    )


@pytest.mark.parametrize("slot", ["a", "b"])
def test_what_is_written_is_there_or_gone_as_the_layout_says(starts: Starts, slot: str) -> None:
    other = {"a": "b", "b": "a"}[slot]
    two_slots.choose(starts.made, slot)
    first = starts.start()
    # Of the other slot, /data is shared.
    assert {line for line in first if line.startswith("there")} <= {"there /data/file"}
    for said in (first, starts.start()):
        assert f"slot dualroot.slot={slot}" in said
        assert f"state {ROOTS[slot]['mode']}" in said
        # Nobody has activated the volume of the other slot where there is no udev.
        known = f"['.file_systems[root_{other}]: wanted ext4, found None']"
        assert {"differences []", f"differences {known}"} & set(said), said
        # Nothing of it was ever written into the slot's own root.
        assert not [line for line in said if line.startswith(("cannot-write", "in-the-root"))]
    assert [line for line in said if line.startswith("there")] == [
        f"there {name}" for name, there in FILES.items() if there[slot]
    ]


def test_the_upper_part_in_memory_has_its_limit(starts: Starts) -> None:
    two_slots.choose(starts.made, "a")
    blocks, size = next(line.split()[1:] for line in starts.start() if line.startswith("memory"))
    assert int(blocks) * int(size) == 100 << 20


def test_without_its_data_the_slot_starts_and_says_so(starts: Starts) -> None:
    start, _length = starts.made.places["data"]
    with starts.made.image.disk.open("r+b") as file:
        file.seek(start)
        file.write(bytes(4 << 20))
    two_slots.choose(starts.made, "b")
    said = starts.start()
    assert "state overlay-data /dev/host/data has errors that a person must look at" in said
    assert next(line for line in said if line.startswith("differences")) != "differences []"
