# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real GRUB falls back to an old system that is kept, and takes the one-shot that was staged in it."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils.boot import dispatcher, one_shot

from .machine import MIB, ROOT_BYTES, RUN_ID, Disk, _run, make_plan
from .tiny_kernel import image

UUID = "0a0a0a0a-0000-4000-8000-00000000abcd"
KEPT = {
    "uuid": UUID,
    "kernel": "/boot/vmlinuz-5.10.0-1",
    "initrd": "/boot/initrd.img-5.10.0-1",
    "arguments": [f"root=UUID={UUID}", "ro", "quiet"],
    "title": "Debian GNU/Linux 11",
}
ENTRY = one_shot.Entry(
    "next-run", Path("/boot/dualroot/vmlinuz"), (Path("/boot/dualroot/initrd.img"),), ("dualroot.mode=convert", "gpt")
)


def keep_old(disk: Disk, *, initrd: bytes = b"initrd-of-o\n", next_entry: str = "") -> Disk:
    """Put an old root where slot b would be, and let the dispatcher know of it."""
    root = disk.folder / "old-root"
    for name in ("boot/grub", "boot/dualroot"):
        (root / name).mkdir(parents=True)
    (root / "boot/vmlinuz-5.10.0-1").write_bytes(image())
    if initrd:
        (root / "boot/initrd.img-5.10.0-1").write_bytes(initrd)
    (root / "boot/dualroot/vmlinuz").write_bytes(image())
    (root / "boot/dualroot/initrd.img").write_bytes(b"initrd-of-c\n")
    block = f"# GRUB Environment Block\nnext_entry={next_entry}\n".encode().ljust(1024, b"#")
    (root / "boot/grub/grubenv").write_bytes(block)
    paths = {path: str(path) for path in (ENTRY.kernel, *ENTRY.initrds)}
    text = one_shot.with_block("menuentry other {\n  echo other\n}\n", one_shot.render(ENTRY, "ext4", UUID, paths))
    (root / "boot/grub/custom.cfg").write_text(text)
    start, size = disk._start("vb"), ROOT_BYTES + MIB
    disk.write(start, bytes(size))
    argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-U", UUID, "-d", str(root)]
    _run(*argv, "-E", f"offset={start},root_owner=0:0", str(disk.image), f"{size // 1024}k")
    config = dispatcher.render(make_plan(keep_old=KEPT))
    config = config.replace("set timeout=2", "set timeout=0").replace("sleep 20", "sleep 1")
    (disk.dispatch / "grub/grub.cfg").write_text(config)
    return disk


def test_a_trial_without_tries_left_ends_in_the_old_system(disk: Disk) -> None:
    keep_old(disk).set_state(a="trying", b="good", tries="1")
    first = disk.boot()
    assert (first.started, "dualroot.trial" in first.kernel) == ("a", True)
    found = disk.boot()
    assert (found.choice, found.started) == ("b good", "o")
    assert found.kernel.split() == [
        *("BOOT_IMAGE=(hd0,gpt4)/boot/vmlinuz-5.10.0-1", f"root=UUID={UUID}", "ro", "quiet"),
        *("gpt", "panic=30", "dualroot.mode=old", f"dualroot.run={RUN_ID}"),
    ]


def test_a_slot_that_cannot_be_loaded_ends_in_it_too(disk: Disk) -> None:
    keep_old(disk).set_state(a="good", b="good")
    assert disk.boot().started == "a"
    for path in sorted((disk.roots["a"] / "boot").glob("vmlinuz-*")):
        path.unlink()
    disk.make_root("a")
    assert disk.boot().started == "o"


def test_its_own_one_shot_is_taken_once(disk: Disk) -> None:
    keep_old(disk, next_entry=one_shot.ENTRY_ID).set_state(a="bad", b="good")
    found = disk.boot()
    assert (found.started, "dualroot.mode=convert" in found.kernel) == ("c", True)
    found = disk.boot()
    assert (found.started, "dualroot.mode=old" in found.kernel) == ("o", True)


def test_another_next_entry_is_not_ours_to_take(disk: Disk) -> None:
    keep_old(disk, next_entry="other").set_state(a="bad", b="good")
    assert disk.boot().started == "o"


def test_without_its_initramfs_the_recovery_system_is_left(disk: Disk) -> None:
    keep_old(disk, initrd=b"").set_state(a="bad", b="good")
    assert disk.boot().started == "r"
