# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is made anew after a cut, and what must not be touched."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils.volumes import anew

from tests.support.fake_runner import FakeRunner
from tests.support.layouts import resolved

MIB = 1 << 20
SETTLE = ("udevadm", "settle", "--timeout=30")


def disk(root: Path, partitions: int) -> None:
    """A disk ``vda`` as /sys shows it, with a mapped device on its third partition."""
    folder = root / "sys/block/vda"
    (root / "sys/class/block").mkdir(parents=True)
    (root / "dev").mkdir()
    for number in range(1, partitions + 1):
        name = f"vda{number}"
        (folder / name / "holders").mkdir(parents=True)
        (folder / name / "partition").write_text(f"{number}\n")
        (root / "sys/class/block" / name).symlink_to(folder / name)
        (root / "dev" / name).write_bytes(b"\xaa" * (2 * MIB))
    (root / "sys/class/block/vda").symlink_to(folder)
    (root / "dev/vda").write_bytes(b"")
    mapped = root / "sys/class/block/dm-0"
    (mapped / "dm").mkdir(parents=True)
    (mapped / "dm/name").write_text("VA-root\n")
    (folder / "vda3/holders/dm-0").mkdir()


def cleared(root: Path, number: int) -> bool:
    content = (root / f"dev/vda{number}").read_bytes()
    assert content[MIB:] == b"\xaa" * MIB
    return content[:MIB] == bytes(MIB)


def test_forgets_all_that_is_made_at_convert_and_no_more(tmp_path: Path) -> None:
    layout = resolved("va")
    disk(tmp_path, 4)
    runner = FakeRunner(handler=lambda argv, stdin: "")

    anew.forget(runner, "/dev/vda", layout, root=tmp_path)

    assert runner.calls == [("dmsetup", "remove", "--retry", "VA-root"), SETTLE]
    # vda4 is the partition for commit, in which the lifeboat may lie.
    assert [cleared(tmp_path, number) for number in (1, 2, 3, 4)] == [True, True, True, False]


def test_keeps_a_partition_that_stays(tmp_path: Path) -> None:
    layout = resolved("va")
    disk(tmp_path, 4)
    runner = FakeRunner(handler=lambda argv, stdin: "")
    anew.forget(runner, "/dev/vda", layout, [layout.partitions[1].uuid.upper()], root=tmp_path)
    assert [cleared(tmp_path, number) for number in (1, 2, 3)] == [True, False, True]


def test_activates_the_groups_that_exist() -> None:
    runner = FakeRunner(handler=lambda argv, stdin: "")
    anew.activate(runner, resolved("va"))
    assert runner.calls == [("lvm", "vgchange", "--activate", "y", "VA"), SETTLE]


def test_makes_file_systems_over_whatever_is_there() -> None:
    layout = resolved("va")
    runner = FakeRunner(handler=lambda argv, stdin: "")
    systems = [layout.file_system("root_a"), layout.file_system("dispatch")]
    dispatch = layout.partition("dispatch").uuid
    anew.make_file_systems(runner, "/dev/vda", layout, systems, [dispatch])
    wipe, make, settle = runner.calls
    assert wipe == ("wipefs", "--all", "--force", "/dev/VA/root")
    assert (make[0], make[-1], systems[0].uuid in make) == ("mkfs.ext4", "/dev/VA/root", True)
    assert settle == SETTLE
