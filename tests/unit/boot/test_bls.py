# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entries of the Boot Loader Specification, for slots whose own GRUB understands them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import bls, slot_entry

MACHINE = "0123456789abcdef0123456789abcdef"
RELEASES = ("5.14.0-427.el9.x86_64", "5.14.0-503.el9.x86_64")


def make_root(folder: Path, setting: str = "GRUB_ENABLE_BLSCFG=true\n") -> Path:
    files = {
        "etc/default/grub": f"GRUB_TIMEOUT=5\n{setting}",
        "etc/fstab": "# /dev/sda1 / ext4\nUUID=1234-abcd / xfs defaults 0 0\n",
        "etc/machine-id": f"{MACHINE}\n",
        "etc/os-release": 'PRETTY_NAME="AlmaLinux 9.5 (Teal Serval)"\n',
        f"boot/loader/entries/{'f' * 32}-{RELEASES[0]}.conf": "options root=/dev/loop0p1\n",
    }
    for release in (*RELEASES, "0-rescue-ffff"):
        files |= {f"boot/vmlinuz-{release}": "k", f"boot/initramfs-{release}.img": "i"}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_each_kernel_has_an_entry_and_those_of_the_payload_are_gone(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    slot_entry.write(root, "run-1", ["console=tty0", "quiet"])
    folder = root / bls.ENTRIES
    assert sorted(path.name for path in folder.iterdir()) == [f"{MACHINE}-{release}.conf" for release in RELEASES]
    assert (folder / f"{MACHINE}-{RELEASES[1]}.conf").read_text() == (
        "title AlmaLinux 9.5 (Teal Serval) (5.14.0-503.el9.x86_64)\n"
        "version 5.14.0-503.el9.x86_64\n"
        "linux /boot/vmlinuz-5.14.0-503.el9.x86_64\n"
        "initrd /boot/initramfs-5.14.0-503.el9.x86_64.img\n"
        "options root=UUID=1234-abcd ro console=tty0 quiet\n"
        "grub_users $grub_users\n"
        "grub_arg --unrestricted\n"
        "grub_class kernel\n"
    )
    assert (root / "etc/kernel/cmdline").read_text() == "root=UUID=1234-abcd ro console=tty0 quiet\n"
    wanted = root / "etc/systemd/system/multi-user.target.wants/dualroot-slot-entry.path"
    assert wanted.resolve().read_text() == bls.PATH_UNIT
    # The dispatcher does not read entries: slot.cfg is there as everywhere.
    assert f'set dr_kernel="/boot/vmlinuz-{RELEASES[1]}"' in (root / slot_entry.CONFIG).read_text()


@pytest.mark.parametrize("setting", ["", "GRUB_ENABLE_BLSCFG=false\n", "#GRUB_ENABLE_BLSCFG=true\n"])
def test_nothing_is_written_where_entries_are_not_understood(tmp_path: Path, setting: str) -> None:
    root = make_root(tmp_path, setting)
    before = set((root / bls.ENTRIES).iterdir())
    slot_entry.write(root, "run-1", [])
    assert set((root / bls.ENTRIES).iterdir()) == before
    assert not (root / bls.COMMAND_LINE).exists()


def test_a_root_without_id_and_without_a_line_in_fstab(tmp_path: Path) -> None:
    root = make_root(tmp_path, 'GRUB_ENABLE_BLSCFG="true"\n')
    (root / "etc/machine-id").write_text("uninitialized\n")
    (root / "etc/fstab").unlink()
    written = bls.write(root, ["quiet"])
    assert [path.name for path in written] == [f"dualroot-{release}.conf" for release in reversed(RELEASES)]
    assert "options ro quiet\n" in written[0].read_text()
