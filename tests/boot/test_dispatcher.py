# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the dispatcher does with every state of the slots: real GRUB, real disk image, tiny kernels."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import dispatcher, grub_bios
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from .machine import RUN_ID, Disk, make_plan

#: id: state variables, and of each boot the dispatcher's choice and what was started.
TABLE = {
    "good slot, every time": (
        {"a": "good", "b": "good"},
        [("a good", "a"), ("a good", "a")],
    ),
    "trial three times, then the good slot": (
        {"order": "b a", "a": "good", "b": "trying", "tries": "3"},
        [
            ("b trying-2-left", "b"),
            ("b trying-1-left", "b"),
            ("b trying-0-left", "b"),
            ("a good", "a"),
            ("a good", "a"),
        ],
    ),
    "trial of the only slot, then recovery": (
        {"a": "trying", "tries": "1"},
        [("a trying-0-left", "a"), ("r no-bootable-slot", "r")],
    ),
    "one-shot, even of a bad slot, and back": (
        {"a": "good", "b": "bad", "next": "b"},
        [("b one-shot", "b"), ("a good", "a")],
    ),
    "one-shot of the recovery system": (
        {"next": "r"},
        [("r one-shot", "r"), ("a good", "a")],
    ),
    "one-shot of something unknown": ({"next": "x"}, [("a good", "a")]),
    "both slots bad": ({"a": "bad", "b": "bad"}, [("r no-bootable-slot", "r")]),
    "tries are no number": (
        {"order": "b a", "b": "trying", "tries": "xx"},
        [("a good", "a")],
    ),
    "more tries than are ever given": (
        {"order": "b a", "b": "trying", "tries": "4"},
        [("a good", "a")],
    ),
    "unknown state of a slot": ({"order": "b a", "b": "shiny"}, [("a good", "a")]),
    "unknown slot in the order": ({"order": "c b a", "b": "empty"}, [("a good", "a")]),
}


@pytest.mark.parametrize("name", TABLE)
def test_choice(disk: Disk, name: str) -> None:
    values, expected = TABLE[name]
    disk.set_state(**values)
    assert [(boot.choice, boot.started) for boot in (disk.boot() for _turn in expected)] == expected


def test_slot_gets_its_root_and_the_arguments_of_the_host(disk: Disk) -> None:
    disk.set_state(order="b a", b="good")
    boot = disk.boot()
    # Slot b has no slot.cfg: its links are used. Its volume group has a hyphen in its name.
    assert boot.kernel == (
        "BOOT_IMAGE=(lvm/V--B-root)/vmlinuz root=/dev/V-B/root ro gpt panic=30 rd.shell=0 rd.emergency=reboot"
        f" rd.lvm.lv=V-B/root dualroot.slot=b dualroot.run={RUN_ID} console=tty0 console=ttyS0,115200"
    )


@pytest.mark.parametrize("state", ["trying", "good"])
def test_only_a_slot_on_trial_is_guarded(disk: Disk, state: str) -> None:
    archive = disk.dispatch / "trial.cpio"
    archive.write_bytes(b"the-guard\n")
    disk.set_state(order="b a", b=state, tries="2")
    boot = disk.boot()
    archive.unlink()
    assert boot.started == "b"
    assert (" dualroot.trial " in boot.kernel) is (state == "trying")
    assert ("the-guard" in boot.initrd) is (state == "trying")


@pytest.mark.parametrize("state", ["trying", "good"])
def test_what_lays_an_overlay_is_loaded_beside_the_initramfs(disk: Disk, state: str) -> None:
    archives = {disk.dispatch / "trial.cpio": b"the-guard\n", disk.roots["a"] / "boot/dualroot/root.cpio": b"overlay\n"}
    for path, content in archives.items():
        path.write_bytes(content)
    disk.make_root("a")
    disk.set_state(a=state, tries="2")
    boot = disk.boot()
    for path in archives:
        path.unlink()
    disk.make_root("a")
    assert boot.started == "a"
    assert "overlay" in boot.initrd
    assert ("the-guard" in boot.initrd) is (state == "trying")


def test_trial_without_its_archive_boots_all_the_same(disk: Disk) -> None:
    disk.set_state(order="b a", b="trying", tries="2")
    boot = disk.boot()
    assert boot.started == "b"
    assert " ".join(dispatcher.TRIAL) in boot.kernel


def test_recovery_gets_its_reason_and_the_hosts_own_part(disk: Disk) -> None:
    disk.set_state(a="bad")
    boot = disk.boot()
    assert boot.kernel == (
        "BOOT_IMAGE=(hd0,gpt2)/recovery/vmlinuz dualroot.mode=recovery gpt panic=30"
        f" dualroot.run={RUN_ID} dualroot.reason=no_slot console=tty0 console=ttyS0,115200"
    )
    assert "etc/dualroot/plan.json" in boot.initrd and '"the-plan": 1' in boot.initrd


def test_slot_entry_names_the_newest_kernel(disk: Disk) -> None:
    disk.set_state()
    assert disk.boot().kernel.startswith("BOOT_IMAGE=(lvm/VA-root)/boot/vmlinuz-6.1.0-1a ")


def test_stale_slot_entry_falls_back_to_the_links(disk: Disk) -> None:
    kernel = disk.roots["a"] / "boot/vmlinuz-6.1.0-1a"
    kernel.rename(kernel.with_name("vmlinuz-6.1.0-2a"))
    (disk.roots["a"] / "vmlinuz").unlink()
    (disk.roots["a"] / "vmlinuz").symlink_to("boot/vmlinuz-6.1.0-2a")
    disk.make_root("a")
    disk.set_state()
    boot = disk.boot()
    assert boot.kernel.startswith("BOOT_IMAGE=(lvm/VA-root)/vmlinuz ")
    assert boot.started == "a"


@pytest.mark.parametrize("lost", ["vmlinuz-6.1.0-1b", "initrd.img-6.1.0-1b"])
def test_trial_without_kernel_or_initramfs_takes_the_good_slot(disk: Disk, lost: str) -> None:
    (disk.roots["b"] / "boot" / lost).unlink()
    disk.make_root("b")
    disk.set_state(order="b a", b="trying", tries="2")
    boots = [disk.boot() for _turn in range(3)]
    assert all("slot b cannot be loaded" in boot.text for boot in boots[:2])
    assert [(boot.choice, boot.started) for boot in boots] == [
        ("b trying-1-left", "a"),
        ("b trying-0-left", "a"),
        ("a good", "a"),
    ]
    # What runs instead is told, so that it gives the slot up.
    assert ["dualroot.after=b" in boot.kernel for boot in boots] == [True, True, False]


def test_slot_whose_file_system_is_gone(disk: Disk) -> None:
    volume = disk.layout.partition("va").start_lba * 512 + (1 << 20)
    disk.set_state(a="good", b="good")
    disk.write(volume, bytes(1 << 20))
    boot = disk.boot()
    assert (boot.choice, boot.started) == ("a good", "b")


def test_nothing_can_be_loaded_starts_again_and_never_prompts(disk: Disk) -> None:
    for path in (*disk.roots["a"].glob("boot/vmlinuz*"), disk.dispatch / "recovery/vmlinuz"):
        path.unlink()
    disk.make_root("a")
    disk.set_state(a="good")
    boot = disk.boot()
    # The boot ends by a reset (QEMU exits), or else boot() runs into its time limit.
    assert "nothing could be loaded" in boot.text
    assert boot.started == "none"


def test_dispatcher_that_is_gone_starts_again_and_never_prompts(disk: Disk) -> None:
    early = dispatcher.early_config(make_plan(), pause=1)
    core = grub_bios.build_core(CommandRunner(), grub_bios.GRUB_DIRECTORY, "(,gpt2)/grub", early)
    grub_bios.embed_core(str(disk.image), core, disk.layout)
    (disk.dispatch / "grub/grub.cfg").unlink()
    disk.set_state()
    assert "the dispatcher cannot be read" in disk.boot().text


@pytest.mark.parametrize("values", [{"order": "b a", "b": "trying", "tries": "3"}, {"b": "bad", "next": "b"}])
def test_unwritable_state_boots_no_untested_slot(disk: Disk, values: dict[str, str]) -> None:
    disk.set_state(**values)
    before = disk.state()
    for _turn in range(2):
        boot = disk.boot(read_only=True)
        assert (boot.choice, boot.started) == ("a good", "a")
    # The fault was there: the same disk, writable, does boot the untested slot.
    assert disk.state() == before
    assert disk.boot().started == "b"


def test_first_copy_damaged(disk: Disk) -> None:
    disk.set_state(order="b a", b="trying", tries="2")
    (disk.dispatch / "state").write_bytes(b"\0" * 1024)
    disk.make_dispatch()
    boots = [disk.boot() for _turn in range(3)]
    assert [boot.choice for boot in boots] == ["b trying-1-left", "b trying-0-left", "a good"]
    assert "state=(hd0,gpt2)/state.copy" in boots[0].text


def test_first_copy_older(disk: Disk) -> None:
    disk.set_state(generation="9", a="bad")
    newer = (disk.dispatch / "state").read_bytes()
    disk.set_state(generation="10", order="b a", b="good")
    (disk.dispatch / "state").write_bytes(newer)
    disk.make_dispatch()
    assert disk.boot().choice == "b good"
    assert disk.state().generation == 10


def test_both_copies_lost_boots_the_usual_order(disk: Disk) -> None:
    disk.set_state()
    for name in ("state", "state.copy"):
        (disk.dispatch / name).write_bytes(b"garbage")
    disk.make_dispatch()
    boot = disk.boot()
    assert (boot.choice, boot.started) == ("a state-lost", "a")


def test_both_copies_lost_and_the_usual_slot_gone(disk: Disk) -> None:
    for path in disk.roots["a"].glob("boot/vmlinuz*"):
        path.unlink()
    disk.make_root("a")
    for name in ("state", "state.copy"):
        (disk.dispatch / name).unlink()
    disk.make_dispatch()
    boot = disk.boot()
    assert (boot.choice, boot.started) == ("a state-lost", "b")


def test_linux_reads_what_grub_wrote(disk: Disk) -> None:
    disk.set_state(order="b a", b="trying", tries="3", next="r")
    assert disk.boot().started == "r"
    assert (disk.state().next, disk.state().tries) == ("", 3)
    assert disk.boot().started == "b"
    assert (disk.state().next, disk.state().tries) == ("", 2)


def _wait_for_keys(disk: Disk) -> None:
    """Give the menu its seconds back, which the other tests do without."""
    config = disk.dispatch / "grub/grub.cfg"
    config.write_text(config.read_text().replace("set timeout=0", "set timeout=2"))
    disk.set_state(a="good")


def test_a_noisy_serial_line_does_not_stop_the_start(disk: Disk) -> None:
    """``c`` is a command line in a menu that is shown, and any other key stops its countdown for good."""
    _wait_for_keys(disk)
    boot = disk.boot(keys=lambda _said: b"c x\n")
    assert (boot.choice, boot.started) == ("a good", "a")


def test_a_person_takes_a_line_of_the_menu(disk: Disk) -> None:
    _wait_for_keys(disk)
    # Ctrl-N is "down" at a terminal of any kind.
    typed = [("Recovery system", b"\x0e\x0e\r"), ("ESC within 2 s", b"\x1b")]

    def keys(said: str) -> bytes:
        return typed.pop()[1] if typed and typed[-1][0] in said else b""

    boot = disk.boot(keys=keys)
    assert (boot.choice, boot.started) == ("a good", "r")
    assert "dualroot.reason=chosen" in boot.kernel
