# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the running system was started, whatever its boot loader said of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.probe.old_system import read_old_system

RELEASE = "5.10.0-32-cloud-amd64"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("proc/sys/kernel", "etc", "boot"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/osrelease").write_text(f"{RELEASE}\n")
    (tmp_path / "etc/fstab").write_text("# <what> <where>\nUUID=1-2 / ext4 errors=remount-ro 0 1\nUUID=3 none swap\n")
    (tmp_path / f"boot/vmlinuz-{RELEASE}").write_text("k")
    (tmp_path / f"boot/initrd.img-{RELEASE}").write_text("i")
    return tmp_path


def started(root: Path, line: str) -> dict:
    (root / "proc/cmdline").write_text(f"{line}\n")
    return read_old_system(root)


@pytest.mark.parametrize(
    "image", [f"/boot/vmlinuz-{RELEASE}", f"(hd0,msdos1)/boot/vmlinuz-{RELEASE}", f"/vmlinuz-{RELEASE}", "/gone", ""]
)
def test_kernel_and_arguments(root: Path, image: str) -> None:
    found = started(root, f"BOOT_IMAGE={image} root=UUID=1-2 ro quiet console=ttyS0 initrd=\\boot\\initrd.img")
    assert found == {
        "kernel": f"/boot/vmlinuz-{RELEASE}",
        "initrd": f"/boot/initrd.img-{RELEASE}",
        "arguments": ["root=UUID=1-2", "ro", "quiet", "console=ttyS0"],
        "fstab": [{"spec": "UUID=1-2", "target": "/", "options": "errors=remount-ro"}],
        "run_id": "",
        "doubt": "",
    }


def test_a_link_is_followed_to_the_file_that_it_means_today(root: Path) -> None:
    (root / "boot/vmlinuz").symlink_to(f"vmlinuz-{RELEASE}")
    assert started(root, "BOOT_IMAGE=/boot/vmlinuz root=/dev/vda1")["kernel"] == f"/boot/vmlinuz-{RELEASE}"


def test_what_an_earlier_run_put_on_the_line_is_left_out(root: Path) -> None:
    found = started(
        root,
        "BOOT_IMAGE=(hd0,gpt1)/boot/x root=UUID=1-2 ro gpt dualroot.mode=old dualroot.run=R noresume systemd.swap=0",
    )
    assert (found["arguments"], found["run_id"]) == (["root=UUID=1-2", "ro"], "R")


def test_a_missing_initramfs_is_a_doubt(root: Path) -> None:
    (root / f"boot/initrd.img-{RELEASE}").unlink()
    assert started(root, "root=UUID=1-2")["doubt"] == "the initramfs of the running system cannot be found in /boot"
