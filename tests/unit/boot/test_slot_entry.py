# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kernels of a slot, and what is written into it for the dispatcher."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import kernels, slot_entry
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.kernels import Kernel
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault


def make_root(folder: Path, *names: str) -> Path:
    (folder / "boot").mkdir(parents=True)
    for name in names:
        (folder / "boot" / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("names", "release"),
    [
        (["vmlinuz-6.1.0-9-amd64", "initrd.img-6.1.0-9-amd64"], "6.1.0-9-amd64"),
        (
            [
                *("vmlinuz-6.1.0-9-amd64", "initrd.img-6.1.0-9-amd64"),
                *("vmlinuz-6.1.0-10-amd64", "initrd.img-6.1.0-10-amd64"),
            ],
            "6.1.0-10-amd64",
        ),
        (
            # The newest has no initramfs, as in the middle of an update.
            ["vmlinuz-6.1.0-9-amd64", "initrd.img-6.1.0-9-amd64", "vmlinuz-6.1.0-10-amd64"],
            "6.1.0-9-amd64",
        ),
    ],
)
def test_newest_kernel_with_initramfs(tmp_path: Path, names: list[str], release: str) -> None:
    found = kernels.find(make_root(tmp_path, *names))
    assert found == Kernel(f"/boot/vmlinuz-{release}", f"/boot/initrd.img-{release}")
    assert kernels.release_of(found.kernel) == release


def test_names_of_the_rhel_family(tmp_path: Path) -> None:
    rescue = "0-rescue-0123456789abcdef"
    root = make_root(
        tmp_path,
        *(f"vmlinuz-{rescue}", f"initramfs-{rescue}.img"),
        *("vmlinuz-5.14.0-427.el9.x86_64", "initramfs-5.14.0-427.el9.x86_64.img"),
        "initramfs-5.14.0-427.el9.x86_64kdump.img",
    )
    release = "5.14.0-427.el9.x86_64"
    assert kernels.find(root) == Kernel(f"/boot/vmlinuz-{release}", f"/boot/initramfs-{release}.img")


def test_empty_and_left_over_files_do_not_count(tmp_path: Path) -> None:
    root = make_root(tmp_path, "vmlinuz-6.1.dpkg-tmp", "initrd.img-6.1.dpkg-tmp", "initrd.img-6.2")
    (root / "boot/vmlinuz-6.2").write_bytes(b"")
    with pytest.raises(Fault) as caught:
        kernels.find(root)
    assert caught.value.id == "boot.no_kernel"


def test_no_kernel_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught:
        kernels.find(make_root(tmp_path, "vmlinuz-6.2", "vmlinuz-6.1"))
    assert "6.1, 6.2" in caught.value.record()["why"]


def test_no_boot_folder(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="no_kernel"):
        kernels.find(tmp_path)


def test_releases_sort_by_age() -> None:
    releases = ["6.1~rc2", "6.1", "6.1.0-9-amd64", "6.1.0-10-amd64", "6.12.48+deb13-amd64"]
    shuffled = [releases[place] for place in (3, 0, 4, 2, 1)]
    assert sorted(shuffled, key=kernels.version_key) == releases


def test_slot_gets_entry_settings_script_and_hooks(tmp_path: Path) -> None:
    root = make_root(tmp_path, "vmlinuz-6.1", "initrd.img-6.1")
    assert slot_entry.write(root, "run-1", ["console=tty0", "console=ttyS0"]).kernel == "/boot/vmlinuz-6.1"
    assert (root / "boot/dualroot/slot.cfg").read_text() == (
        "# Which kernel of this slot the dispatcher loads; written by /usr/local/lib/dualroot/slot-entry.\n"
        'set dr_kernel="/boot/vmlinuz-6.1"\n'
        'set dr_initrd="/boot/initrd.img-6.1"\n'
        'set dr_run="run-1"\n'
        'set dr_arguments="console=tty0 console=ttyS0"\n'
    )
    assert 'DUALROOT_RUN="run-1"' in (root / "etc/default/dualroot").read_text()
    for path in (slot_entry.SCRIPT_PATH, *slot_entry.HOOK_PATHS):
        assert (root / path).stat().st_mode & 0o777 == 0o755
        assert (root / path).read_text().startswith("#!/bin/sh\n")


def test_boot_loader_programs_of_the_slot_are_shadowed(tmp_path: Path) -> None:
    root = make_root(tmp_path, "vmlinuz-6.1", "initrd.img-6.1")
    (root / "usr/sbin").mkdir(parents=True)
    (root / "usr/sbin/grub-install").write_bytes(b"x")
    slot_entry.write(root, "run-1", [])
    shadows = root / "usr/local/sbin"
    shadowed = sorted(path.name for path in shadows.iterdir() if path.name.startswith("grub"))
    assert shadowed == ["grub-install", "grub2-install"]
    assert (root / "usr/sbin/grub-install").read_bytes() == b"x"


def test_a_boot_loader_that_is_installed_later_finds_its_shadow(tmp_path: Path) -> None:
    root = make_root(tmp_path, "vmlinuz-6.1", "initrd.img-6.1")
    slot_entry.write(root, "run-1", [])
    assert (root / "usr/local/sbin/grub-install").read_text() == slot_entry.SHADOW


@pytest.mark.parametrize("there", [False, True])
def test_dpkg_keeps_its_boot_loader_under_another_name(tmp_path: Path, there: bool) -> None:
    """apt hides /usr/local/sbin from the scripts of packages."""
    root = make_root(tmp_path, "vmlinuz-6.1", "initrd.img-6.1")
    (root / "usr/sbin").mkdir(parents=True)
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/diversions").write_text("/bin/sh\n/bin/sh.distrib\ndash\n")
    if there:
        (root / "usr/sbin/grub-install").write_bytes(b"x")
    for _time in range(2):
        slot_entry.write(root, "run-1", [])
        assert (root / "usr/sbin/grub-install").read_text() == slot_entry.SHADOW
        assert (root / "usr/sbin/grub-install.distrib").exists() is there
        assert (root / "var/lib/dpkg/diversions").read_text() == (
            "/bin/sh\n/bin/sh.distrib\ndash\n/usr/sbin/grub-install\n/usr/sbin/grub-install.distrib\n:\n"
        )
    if there:
        assert (root / "usr/sbin/grub-install.distrib").read_bytes() == b"x"


def test_unsafe_argument_is_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path, "vmlinuz-6.1", "initrd.img-6.1")
    with pytest.raises(Fault, match="argument_unsafe"):
        slot_entry.write(root, "run-1", ['"'])
