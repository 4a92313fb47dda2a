# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two import fstab

from tests.support.layouts import resolved


def test_names_every_file_system_by_uuid() -> None:
    layout = resolved("dual", size_bytes=16 << 30)
    uuid = {system.on: system.uuid for system in layout.file_systems}
    assert fstab.render(layout, "b", "commit") == (
        "# Written by dualroot.migrate from the layout dual; file systems are named by UUID (blkid).\n"
        f"UUID={uuid['root_b']} / ext4 errors=remount-ro 0 1\n"
        f"UUID={uuid['dispatch']} /boot/dispatch ext4 ro,nosuid,nodev,noexec,nofail 0 2\n"
        f"UUID={uuid['esp']} /boot/efi vfat umask=0077,nofail 0 2\n"
        f"UUID={uuid['data']} /data ext4 defaults,x-systemd.device-timeout=300s 0 2\n"
        f"UUID={uuid['image']} /image ext4 defaults,x-systemd.device-timeout=300s 0 2\n"
    )


def test_keeps_what_the_payload_mounts_without_a_disk(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text(
        "# comment\n"
        "UUID=of-the-builder / ext4 defaults 0 1\n"
        "/swapfile none swap sw 0 0\n"
        "tmpfs /tmp tmpfs nosuid 0 0\n"
        "nas:/export /data nfs ro 0 0\n"
    )
    fstab.write(tmp_path, resolved(), "a")
    fstab.write(tmp_path, resolved(), "a")
    text = (tmp_path / "etc/fstab").read_text()
    assert text.count("tmpfs /tmp tmpfs nosuid 0 0\n") == 1
    assert "builder" not in text
    assert "swap" not in text
    assert "nfs" not in text


def test_a_root_that_is_made_at_commit_is_in_the_fstab_of_its_slot(tmp_path: Path) -> None:
    fstab.write(tmp_path, resolved("va"), "b", "commit")
    lines = (tmp_path / "etc/fstab").read_text().splitlines()[1:]
    assert [line.split()[1] for line in lines] == ["/", "/boot/dispatch", "/data", "/image"]
