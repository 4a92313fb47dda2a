# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The old system kept bootable: made smaller, offered, and given up where it cannot be trusted."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.kept_old import OldRoot
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.loader import load
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.resolve import DiskGeometry, resolve
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import Result

from tests.support import layouts

from .stage import UUID, Stage, lifeboat_plan, plan

MIB, GIB = 1 << 20, 1 << 30
WAS = 8 * GIB - MIB
LAYOUT = resolve(
    load(layouts.document("va")), DiskGeometry(8 * GIB), layouts.RUN_ID, None, OldRoot(1, MIB, WAS, GIB, True)
)
LENGTH = LAYOUT.until_commit[0].sectors * 512
CHECK, MEND = ("e2fsck", "-f", "-n", "/dev/vda1"), ("e2fsck", "-f", "-p", "/dev/vda1")
MINIMUM, SHRINK = ("resize2fs", "-P", "/dev/vda1"), ("resize2fs", "/dev/vda1", f"{LENGTH // 1024}K")


def kept(wish: str = "auto", was: int = WAS) -> dict[str, Any]:
    return {
        "wish": wish,
        "uuid": UUID,
        "fstype": "ext4",
        "number": 1,
        "start": MIB,
        "length": LENGTH,
        "was": was,
        "kernel": "/boot/vmlinuz-5.10",
        "initrd": "/boot/initrd.img-5.10",
        "arguments": ["root=UUID=" + UUID, "ro"],
        "title": "Debian GNU/Linux 11",
    }


class OldStage(Stage):
    """A stage whose disk has an old root; tools answer with ``status`` and ``text`` by their argv."""

    def __init__(self, root: Path, document: dict[str, Any]) -> None:
        self.ends: dict[tuple[str, ...], list[int]] = {}
        self.minimum = 300000
        self.tools: list[tuple[str, ...]] = []
        super().__init__(root, document)
        for name in ("dev", "sys/block/vda"):
            (root / name).mkdir(parents=True, exist_ok=True)
        self.size(WAS)
        self.old("boot/vmlinuz-5.10", b"kernel")
        self.old("boot/initrd.img-5.10", b"initrd")
        self.go()

    def size(self, size_bytes: int) -> None:
        """Write a super block of ext4 (Documentation/filesystems/ext4/super.rst)."""
        raw = bytearray(1024)
        struct.pack_into("<I", raw, 4, size_bytes // 4096)
        struct.pack_into("<II", raw, 24, 2, 2)
        struct.pack_into("<II", raw, 32, 32768, 32768)
        struct.pack_into("<I", raw, 40, 8192)
        struct.pack_into("<H", raw, 56, 0xEF53)
        struct.pack_into("<H", raw, 88, 256)
        (self.root / "dev/vda1").write_bytes(bytes(1024) + raw)

    def _command(self, argv: Sequence[str], stdin: bytes | None) -> Any:
        if argv[0] == "blkid" and argv[-1] == "/dev/vda1":
            return f"UUID={UUID}\nTYPE=ext4\n"
        if argv[0] in ("e2fsck", "resize2fs"):
            self.tools.append(tuple(argv))
            waiting = self.ends.get(tuple(argv)) or [0]
            status = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if tuple(argv) == SHRINK and status == 0:
                self.size(LENGTH)
            text = f"Estimated minimum size of the filesystem: {self.minimum}\n" if "-P" in argv else "said\n"
            return Result(tuple(argv), status, text.encode(), b"complained\n")
        return super()._command(argv, stdin)

    @property
    def why_lost(self) -> list[str]:
        return [step for _phase, step, _event in self.journal if step == "old_lost"]


@pytest.fixture
def stage(tmp_path: Path) -> OldStage:
    return OldStage(tmp_path, plan(keep_old=kept(), layout=LAYOUT.to_document()))


def test_it_is_made_smaller_behind_the_point_of_no_return_and_offered(stage: OldStage) -> None:
    assert stage.run() == 0
    assert stage.tools == [CHECK, MINIMUM, MEND, SHRINK, CHECK]
    steps = [(phase, step) for phase, step, event in stage.journal if event == "start"]
    assert steps.index(("await", "old")) < steps.index(("partition", "no_return")) < steps.index(("partition", "old"))
    assert steps.index(("partition", "old")) < steps.index(("partition", "signatures"))
    # Its place is told to what wipes signatures, and it is offered after the dispatcher is there.
    assert f"tear_down /dev/vda {MIB}" in stage.parts.calls
    calls = stage.parts.calls
    assert calls.index("install_boot dispatch") < calls.index("offer_old dispatch") < calls.index("mark_trying a")
    assert stage.why_lost == []


def test_one_with_room_for_both_is_not_touched(tmp_path: Path) -> None:
    stage = OldStage(tmp_path, plan(keep_old=kept(was=LENGTH), layout=LAYOUT.to_document()))
    stage.size(LENGTH)
    assert stage.run() == 0
    assert stage.tools == []
    assert "offer_old dispatch" in stage.parts.calls


@pytest.mark.parametrize("argv", [CHECK, MINIMUM])
def test_what_is_wrong_before_is_seen_before(stage: OldStage, argv: tuple[str, ...]) -> None:
    if argv == CHECK:
        stage.ends[argv] = [4]
    else:
        stage.minimum = 2000000
    assert stage.run() == 0
    # The migration goes on without, and nothing writes to the old root.
    assert stage.why_lost and MEND not in stage.tools and SHRINK not in stage.tools
    assert "offer_old dispatch" not in stage.parts.calls
    assert "mark_trying a" in stage.parts.calls


def test_where_it_is_required_the_old_system_comes_back(tmp_path: Path) -> None:
    stage = OldStage(tmp_path, plan(keep_old=kept("required"), layout=LAYOUT.to_document()))
    stage.ends[CHECK] = [4]
    assert stage.run() == 1
    assert stage.reboots == 1
    assert stage.result_in_old["fault"]["id"] == "stage_two.old_not_sound"
    assert not any(call.startswith(("tear_down", "apply_table")) for call in stage.parts.calls)


@pytest.mark.parametrize("argv", [MEND, SHRINK])
def test_past_the_return_it_goes_on_without(stage: OldStage, argv: tuple[str, ...]) -> None:
    stage.ends[argv] = [8]
    assert stage.run() == 0
    assert stage.why_lost
    assert "offer_old dispatch" not in stage.parts.calls
    assert "mark_trying a" in stage.parts.calls


def test_a_shrunken_root_that_is_not_sound_is_not_offered(stage: OldStage) -> None:
    stage.ends[CHECK] = [0, 4]
    assert stage.run() == 0
    assert stage.why_lost and "offer_old dispatch" not in stage.parts.calls


def test_one_without_its_kernel_is_not_offered(stage: OldStage) -> None:
    (stage.places.old / "boot/vmlinuz-5.10").unlink()
    assert stage.run() == 0
    assert stage.why_lost and "offer_old dispatch" not in stage.parts.calls


class _Cut(BaseException):
    """The power goes."""


@pytest.mark.parametrize(("sound", "offered"), [(0, True), (4, False)])
def test_after_a_cut_in_the_middle_it_is_only_believed_when_sound(tmp_path: Path, sound: int, offered: bool) -> None:
    stage = OldStage(tmp_path, lifeboat_plan(keep_old=kept(), layout=LAYOUT.to_document()))
    stage.give_lifeboat()
    # One disk, whichever way it is found.
    stage.parts.find_lifeboat = lambda lifeboat, identity: "/dev/vda"  # type: ignore[method-assign]
    command = stage._command

    def cut_in_shrink(argv: Sequence[str], stdin: bytes | None) -> Any:
        if tuple(argv) == SHRINK:
            raise _Cut
        return command(argv, stdin)

    stage.runner.handler = cut_in_shrink
    with pytest.raises(_Cut):
        stage.run()
    stage.runner.handler = command
    stage.tools.clear()
    stage.ends[CHECK] = [sound, 0]
    assert stage.cut().run() == 0
    # Nothing mends what a cut left: e2fsck would, and files might be gone.
    assert MEND not in stage.tools
    assert stage.tools == ([CHECK, SHRINK, CHECK] if offered else [CHECK])
    assert ("offer_old dispatch" in stage.parts.calls) == offered
    assert "hand_over /dev/vda" in stage.parts.calls


def test_the_ordinary_way_has_no_such_step(tmp_path: Path) -> None:
    stage = Stage(tmp_path).go()
    assert stage.run() == 0
    assert "old" not in {step for _phase, step, _event in stage.journal}
