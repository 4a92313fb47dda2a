# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The old system's GRUB and the one-shot entry in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import host_loader, mounts, one_shot
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.host_loader import HostLoader
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.one_shot import Entry
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from tests.support.fake_runner import Answers, FakeRunner, failed

NEXT_ENTRY = 'if [ "${next_entry}" ] ; then\n  set default="${next_entry}"\nfi\n'
CUSTOM = "if [ -f  $prefix/custom.cfg ]; then\n  source $prefix/custom.cfg\nfi\n"
ROOT_LINE = "28 1 8:1 / {root} rw,relatime - {fstype} /dev/sda1 rw\n"


def make_host(root: Path, folder: str = "boot/grub", config: str = NEXT_ENTRY + CUSTOM, fstype: str = "ext4") -> Path:
    """Make the files by which a host's GRUB is known; return the folder of its programs."""
    (root / folder).mkdir(parents=True)
    (root / folder / "grub.cfg").write_text(config)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(ROOT_LINE.format(root=root, fstype=fstype))
    (root / "sys/dev/block/8:1").mkdir(parents=True)
    programs = root / "programs"
    programs.mkdir()
    prefix = Path(folder).name
    for name in (f"{prefix}-reboot", f"{prefix}-editenv"):
        (programs / name).write_text("")
        (programs / name).chmod(0o755)
    return programs


@pytest.mark.parametrize(("folder", "prefix"), [("boot/grub", "grub"), ("boot/grub2", "grub2")])
def test_loader_of_both_families(tmp_path: Path, folder: str, prefix: str) -> None:
    programs = make_host(tmp_path, folder)
    loader = host_loader.detect(tmp_path, str(programs))
    assert loader == HostLoader(
        directory=tmp_path / folder,
        reboot_tool=str(programs / f"{prefix}-reboot"),
        editenv_tool=str(programs / f"{prefix}-editenv"),
        grubby="",
        reads_custom_config=True,
        handles_next_entry=True,
        environment_doubt="",
    )
    assert loader.environment == tmp_path / folder / "grubenv"
    one_shot.check_support(loader)


def test_host_without_grub(tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught:
        host_loader.detect(tmp_path)
    assert caught.value.id == "boot.no_loader"


@pytest.mark.parametrize(
    ("fstype", "kind", "doubt"),
    [
        ("btrfs", "", "btrfs"),
        ("zfs", "", "zfs"),
        ("ext4", "dm", "device-mapper"),
        ("xfs", "md", "software RAID"),
    ],
)
def test_environment_that_grub_cannot_write(tmp_path: Path, fstype: str, kind: str, doubt: str) -> None:
    programs = make_host(tmp_path, fstype=fstype)
    if kind:
        (tmp_path / "sys/dev/block/8:1" / kind).mkdir()
    loader = host_loader.detect(tmp_path, str(programs))
    assert doubt in loader.environment_doubt
    with pytest.raises(Fault) as caught:
        one_shot.check_support(loader)
    assert caught.value.id == "boot.one_shot_unsupported" and doubt in caught.value.what


@pytest.mark.parametrize(
    ("config", "programs", "problem"),
    [
        (CUSTOM, True, "does not look at next_entry"),
        (NEXT_ENTRY, True, "does not read custom.cfg"),
        (NEXT_ENTRY + CUSTOM, False, "grub-editenv"),
    ],
)
def test_loader_that_knows_no_one_shot(tmp_path: Path, config: str, programs: bool, problem: str) -> None:
    found = make_host(tmp_path, config=config)
    with pytest.raises(Fault) as caught:
        one_shot.check_support(host_loader.detect(tmp_path, str(found) if programs else "/none"))
    assert problem in caught.value.what


def test_uuid_is_asked_of_the_device_itself() -> None:
    argv = ("blkid", "-c", "/dev/null", "-s", "UUID", "-o", "value", "/dev/block/8:1")
    mount = mounts.Mount((8, 1), "/", "/", (), "ext4", "/dev/root")
    assert host_loader.file_system_uuid(FakeRunner({argv: "1234-abcd\n"}), mount) == "1234-abcd"


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostLoader:
    monkeypatch.setattr(one_shot, "settle", lambda path: None)
    (tmp_path / "grubenv").write_text("")
    return HostLoader(tmp_path, "grub-reboot", "grub-editenv", "grubby", True, True, "")


ENTRY = Entry(
    "run-1",
    Path("/boot/dualroot/vmlinuz"),
    (Path("/boot/dualroot/initrd.img"), Path("/boot/dualroot/host.cpio")),
    ("dualroot.mode=convert", "gpt", "console=ttyS0"),
)


@pytest.mark.parametrize(
    ("mount", "fstype", "module", "prefix"),
    [("/", "ext4", "ext2", "/boot/dualroot"), ("/boot", "xfs", "xfs", "/dualroot")],
)
def test_entry_with_and_without_a_separate_boot(
    loader: HostLoader, monkeypatch: pytest.MonkeyPatch, mount: str, fstype: str, module: str, prefix: str
) -> None:
    found = mounts.Mount((8, 1), "/", mount, (), fstype, "/dev/sda1")
    monkeypatch.setattr(mounts, "find", lambda path: found)
    runner = FakeRunner(handler=lambda argv, stdin: "1234-abcd\n")
    assert one_shot.custom_config(runner, loader, ENTRY) == (
        "### BEGIN dualroot.migrate ###\n"
        '# The one-shot entry of a migration; removed by the state "disarmed" of the module initramfs_stage.\n'
        'menuentry "Convert this host (dualroot.migrate, run run-1)" --id dualroot-convert --unrestricted {\n'
        "  insmod part_msdos\n"
        "  insmod part_gpt\n"
        f"  insmod {module}\n"
        "  search --no-floppy --fs-uuid --set=root 1234-abcd\n"
        '  echo "dualroot: loading the convert kernel"\n'
        f"  if linux {prefix}/vmlinuz dualroot.mode=convert gpt console=ttyS0; then\n"
        f"    if initrd {prefix}/initrd.img {prefix}/host.cpio; then\n"
        "      boot\n"
        "    fi\n"
        "  fi\n"
        "  # The one-shot is used up: the next start is the old system's.\n"
        '  echo "dualroot: the convert kernel cannot be loaded; the old system is started"\n'
        "  sleep 5\n"
        "  reboot\n"
        "}\n"
        "### END dualroot.migrate ###\n"
    )


def test_arguments_end_with_the_consoles_of_the_host() -> None:
    plan = {"run_id": "run-1", "kernel_arguments": ["console=tty0", "console=ttyS0,115200"]}
    assert one_shot.arguments(plan) == (
        *("dualroot.mode=convert", "dualroot.run=run-1", "gpt", "panic=30"),
        *("console=tty0", "console=ttyS0,115200"),
    )


def test_block_stands_beside_what_others_wrote() -> None:
    foreign = "set x=1\n"
    once = one_shot.with_block(foreign, "new\n")
    assert once == "set x=1\n### BEGIN dualroot.migrate ###\nnew\n### END dualroot.migrate ###\n"
    assert one_shot.with_block(once, "newer\n") == once.replace("new\n", "newer\n")
    assert one_shot.with_block(once, "") == foreign
    assert one_shot.with_block("set x=1", "new\n") == once
    assert one_shot.with_block("", "") == ""


def test_custom_config_is_removed_only_where_nothing_is_left(loader: HostLoader) -> None:
    one_shot.write_custom_config(loader, "x\n")
    loader.custom_config.chmod(0o600)
    one_shot.write_custom_config(loader, "y\n")
    assert loader.custom_config.read_text() == "y\n"
    assert loader.custom_config.stat().st_mode & 0o777 == 0o600
    one_shot.write_custom_config(loader, "")
    assert not loader.custom_config.exists()
    one_shot.write_custom_config(loader, "")


def listing(loader: HostLoader) -> tuple[str, ...]:
    return ("grub-editenv", str(loader.environment), "list")


def test_arm_reads_back(loader: HostLoader) -> None:
    runner = FakeRunner(
        {("grub-reboot", "dualroot-convert"): None, listing(loader): "saved_entry=0\nnext_entry=dualroot-convert\n"}
    )
    assert one_shot.arm(runner, loader) == "dualroot-convert"
    assert runner.calls == [("grub-reboot", "dualroot-convert"), listing(loader)]


def test_arm_without_reboot_tool_and_environment(loader: HostLoader) -> None:
    loader.environment.unlink()
    tool = HostLoader(**{**vars(loader), "reboot_tool": ""})
    create = ("grub-editenv", str(loader.environment), "create")
    setting = ("grub-editenv", str(loader.environment), "set", "next_entry=dualroot-convert")

    def answer(argv: Any, stdin: Any) -> Any:
        loader.environment.write_text("")

    runner = FakeRunner({create: answer, setting: None, listing(loader): "next_entry=dualroot-convert\n"})
    one_shot.arm(runner, tool)
    assert runner.calls == [create, setting, listing(loader)]


def test_arm_that_does_not_hold(loader: HostLoader) -> None:
    runner = FakeRunner({("grub-reboot", "dualroot-convert"): None, listing(loader): "next_entry=\n"})
    with pytest.raises(Fault) as caught:
        one_shot.arm(runner, loader)
    assert caught.value.id == "boot.not_armed"
    assert "grub-reboot dualroot-convert" in caught.value.record()["how"]


def test_disarm(loader: HostLoader) -> None:
    argv = ("grub-editenv", str(loader.environment), "unset", "next_entry")
    runner = FakeRunner({argv: None})
    one_shot.disarm(runner, loader)
    assert runner.calls == [argv]


INFO = ("grubby", "--info=/boot/dualroot/vmlinuz")


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        ("index=0\nkernel=/boot/dualroot/vmlinuz\ntitle=dualroot-convert\n", True),
        ('index=0\nkernel="/boot/dualroot/vmlinuz"\ntitle="dualroot-convert"\n', True),
        ("index=0\ntitle=CentOS Linux\n", False),
        (failed(1, "The param /boot/dualroot/vmlinuz is incorrect"), False),
    ],
)
def test_grubby_knows_the_entry(loader: HostLoader, answer: Any, known: bool) -> None:
    runner = FakeRunner({INFO: Answers([answer])})
    assert one_shot.has_grubby_entry(runner, loader, Path("/boot/dualroot/vmlinuz")) is known


def test_grubby_adds_and_removes(loader: HostLoader) -> None:
    entry = Entry("run-1", ENTRY.kernel, (Path("/boot/dualroot/combined.img"),), ENTRY.arguments)
    runner = FakeRunner(handler=lambda argv, stdin: None)
    one_shot.add_grubby_entry(runner, loader, entry)
    one_shot.remove_grubby_entry(runner, loader, entry.kernel)
    assert runner.calls == [
        (
            *("grubby", "--add-kernel=/boot/dualroot/vmlinuz", "--initrd=/boot/dualroot/combined.img"),
            *("--title=dualroot-convert", "--args=dualroot.mode=convert gpt console=ttyS0"),
        ),
        ("grubby", "--remove-kernel=/boot/dualroot/vmlinuz"),
    ]
