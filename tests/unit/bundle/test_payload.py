# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import payload
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import Result

from tests.support.fake_runner import FakeRunner

FSTAB = """\
# a comment stays
UUID=aaaa / ext4 errors=remount-ro 0 1
UUID=bbbb /boot/efi vfat umask=0077 0 1
UUID=cccc none swap sw 0 0
server:/export /srv nfs ro 0 0
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "etc/os-release": 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
        "etc/fstab": FSTAB,
        "etc/machine-id": "0123456789abcdef\n",
        "etc/default/grub": 'GRUB_CMDLINE_LINUX="quiet resume=UUID=cccc resume_offset=7 panic=30"\n',
        "etc/ssh/ssh_host_rsa_key": "secret",
        "etc/ssh/sshd_config": "UsePAM yes\n",
        "boot/vmlinuz-6.1.0-9": "",
        "boot/vmlinuz-6.12.0-10": "",
        "boot/initrd.img-6.12.0-10": "",
        "usr/sbin/sshd": "",
        "usr/sbin/init": "",
        "usr/lib/systemd/systemd-networkd": "",
        "var/log/syslog.1": "old",
        "var/log/btmp": "who",
        "var/log/journal/abc/system.journal": "old",
        "var/cache/apt/archives/x.deb": "package",
        "var/lib/systemd/random-seed": "seed",
        "tmp/.X1": "",
        "dev/null": "",
        "home/a/.bash_history": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_identities_traces_and_the_old_disk_are_removed(root: Path) -> None:
    touched = payload.clean(root)
    assert (root / "etc/fstab").read_text() == "# a comment stays\nserver:/export /srv nfs ro 0 0\n"
    assert (root / "etc/machine-id").read_bytes() == b""
    assert (root / "etc/default/grub").read_text() == 'GRUB_CMDLINE_LINUX="quiet panic=30"\n'
    assert (root / "var/log/btmp").read_bytes() == b""
    for name in touched:
        if name not in ("etc/fstab", "etc/machine-id", "etc/default/grub", "var/log/btmp"):
            assert not (root / name).exists(), name
    assert {"etc/ssh/ssh_host_rsa_key", "var/lib/systemd/random-seed", "var/log/journal/abc"} <= set(touched)
    assert (root / "etc/ssh/sshd_config").exists()
    assert not any((root / "tmp").iterdir())
    assert not any((root / "dev").iterdir())
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_cleaning_twice_is_cleaning_once(root: Path) -> None:
    payload.clean(root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    payload.clean(root)
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_links_are_removed_and_not_followed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "file").write_text("mine")
    (root / "tmp/link").symlink_to(outside)
    (root / "etc/machine-id").unlink()
    (root / "etc/machine-id").symlink_to(outside / "file")
    payload.clean(root)
    assert (outside / "file").read_text() == "mine"


def test_what_the_manifest_says_is_read_from_the_tree(root: Path) -> None:
    assert payload.inspect(root) == {
        "os": {"id": "debian", "version_id": "13", "pretty_name": "Debian GNU/Linux 13 (trixie)"},
        "network_renderer": "networkd",
        "kernel_release": "6.12.0-10",
    }


def test_ifupdown_wins_because_networkd_comes_with_systemd(root: Path) -> None:
    (root / "usr/sbin/ifup").write_text("")
    assert payload.renderer_of(root) == "ifupdown"


def test_a_system_that_would_not_come_back_is_refused_with_all_that_lacks(root: Path) -> None:
    for name in ("boot/initrd.img-6.12.0-10", "usr/sbin/sshd", "usr/sbin/init"):
        (root / name).unlink()
    with pytest.raises(Fault) as caught:
        payload.inspect(root)
    assert caught.value.id == "bundle.payload_incomplete"
    for part in ("initramfs for the kernel 6.12.0-10", "usr/sbin/sshd", "an init"):
        assert part in caught.value.what


def test_a_system_without_a_kernel_is_refused(root: Path) -> None:
    for path in (root / "boot").iterdir():
        path.unlink()
    with pytest.raises(Fault, match="a kernel"):
        payload.inspect(root)


def test_hard_links_count_once_and_blocks_count_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 5000)
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "c").mkdir()
    assert payload.measure(tmp_path)[1] == 3
    assert 8192 + 4096 <= payload.measure(tmp_path)[0] <= 8192 + 8192


def test_a_suite_is_one_command(tmp_path: Path) -> None:
    early, over = tmp_path / "early", tmp_path / "over"
    (early / "etc").mkdir(parents=True)
    (over / "opt").mkdir(parents=True)
    recipe = payload.SuiteRecipe(
        "trixie", ["deb http://m/debian trixie main"], ["sudo", "udev"], [early], over, True, ["x.service"]
    )
    runner = FakeRunner(handler=lambda argv, _stdin: Result(tuple(argv), 0))
    payload.build_suite(runner, recipe, tmp_path / "root")
    assert runner.calls == [
        (
            "mmdebstrap",
            "--mode=root",
            "--variant=apt",
            "--format=directory",
            "--include=sudo,udev",
            '--aptopt=Apt::Install-Recommends "false"',
            f"--setup-hook=copy-in {early}/etc /",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/info/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=path-exclude=/usr/share/lintian/*",
            '--customize-hook=chroot "$1" systemctl enable x.service',
            f"--customize-hook=copy-in {over}/opt /",
            "trixie",
            f"{tmp_path}/root",
            "deb http://m/debian trixie main",
        )
    ]


@pytest.mark.parametrize(
    ("status", "listing", "wanted"),
    [(0, "etc/\netc/os-release\n", True), (0, "vm.ovf\nvm-disk1.vmdk\n", False), (2, "", False)],
)
def test_an_archive_is_told_from_an_image(tmp_path: Path, status: int, listing: str, wanted: bool) -> None:
    argv = ("tar", "--list", f"--file={tmp_path / 'x'}")
    answer: dict[tuple[str, ...], Any] = {argv: Result(argv, status, listing.encode())}
    assert payload.is_archive(FakeRunner(answer), tmp_path / "x") is wanted
