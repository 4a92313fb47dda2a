# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The old system's GRUB and the one-shot entry in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import host_loader, one_shot
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.host_loader import HostLoader
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.one_shot import Entry
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.usage import Mount
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.probe.mounts import Place

from tests.support.fake_runner import Answers, FakeRunner, failed

FACTS = {
    "kind": "grub2",
    "directory": "/boot/grub2",
    "reboot_tool": "grub2-reboot",
    "editenv_tool": "grub2-editenv",
    "grubby": None,
    "reads_custom_cfg": True,
    "handles_next_entry": True,
    "environment_doubt": "",
}


def test_loader_from_the_facts_of_a_host() -> None:
    loader = host_loader.from_facts(FACTS)
    assert loader == HostLoader(Path("/boot/grub2"), "grub2-reboot", "grub2-editenv", "", True, True, "")
    assert str(loader.environment) == "/boot/grub2/grubenv"
    one_shot.check_support(loader)


@pytest.mark.parametrize("kind", ["grub-legacy", "other", "none"])
def test_host_without_grub_2(kind: str) -> None:
    with pytest.raises(Fault) as caught:
        host_loader.from_facts({**FACTS, "kind": kind})
    assert caught.value.id == "boot.no_loader" and kind in caught.value.what


def test_detection_reads_the_host(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="no_loader"):
        host_loader.detect(FakeRunner(), tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"environment_doubt": "it lies on lvm"}, "it lies on lvm"),
        ({"handles_next_entry": False}, "does not look at next_entry"),
        ({"reads_custom_cfg": False}, "does not read custom.cfg"),
        ({"editenv_tool": None}, "grub-editenv"),
    ],
)
def test_loader_that_knows_no_one_shot(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(Fault) as caught:
        one_shot.check_support(host_loader.from_facts({**FACTS, **change}))
    assert caught.value.id == "boot.one_shot_unsupported" and problem in caught.value.what


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


def place(target: str, fstype: str, inside: str, uuid: str = "1234-abcd") -> Place:
    mount = Mount("8:1", target, fstype, "/dev/sda1", "rw", "/")
    return Place(mount, "/dev/sda1", uuid, inside, ("part",), ("sda",), 1, 1)


@pytest.mark.parametrize(
    ("found", "module", "prefix"),
    [
        (place("/", "ext4", "/boot/dualroot"), "ext2", "/boot/dualroot"),
        (place("/boot", "xfs", "/dualroot"), "xfs", "/dualroot"),
    ],
)
def test_entry_with_and_without_a_separate_boot(
    loader: HostLoader, monkeypatch: pytest.MonkeyPatch, found: Place, module: str, prefix: str
) -> None:
    monkeypatch.setattr(one_shot, "place_of", lambda runner, path: found)
    runner = FakeRunner()
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


@pytest.mark.parametrize(("table", "told"), [("gpt", ("gpt",)), ("dos", ())])
def test_arguments_end_with_the_consoles_of_the_host(table: str, told: tuple[str, ...]) -> None:
    """A stale GPT at the end of an MBR disk is believed by a kernel that is told ``gpt``."""
    consoles = ["console=tty0", "console=ttyS0,115200"]
    plan = {"run_id": "run-1", "go_timeout": 600, "kernel_arguments": consoles, "disk": {"table": table}}
    assert one_shot.arguments(plan) == (
        *("dualroot.mode=convert", "dualroot.run=run-1", "dualroot.limit=4200", *told, "panic=30"),
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


def test_arm_without_reboot_tool(loader: HostLoader) -> None:
    tool = replace(loader, reboot_tool="")
    setting = ("grub-editenv", str(loader.environment), "set", "next_entry=dualroot-convert")
    runner = FakeRunner({setting: None, listing(loader): "next_entry=dualroot-convert\n"})
    one_shot.arm(runner, tool)
    assert runner.calls == [setting, listing(loader)]


@pytest.mark.parametrize("found", [None, place("/", "overlay", "/boot/dualroot", "")])
def test_boot_folder_that_grub_cannot_name(
    loader: HostLoader, monkeypatch: pytest.MonkeyPatch, found: Place | None
) -> None:
    monkeypatch.setattr(one_shot, "place_of", lambda runner, path: found)
    with pytest.raises(Fault, match="no_loader"):
        one_shot.custom_config(FakeRunner(), loader, ENTRY)


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
