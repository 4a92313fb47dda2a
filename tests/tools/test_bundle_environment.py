# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a built bundle really holds: DUALROOT_TEST_BUNDLE names its folder; without it nothing is asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import elf, manifest

BUNDLE = os.environ.get("DUALROOT_TEST_BUNDLE", "")
pytestmark = pytest.mark.skipif(
    not BUNDLE or not (shutil.which("cpio") and shutil.which("zstd")), reason="needs DUALROOT_TEST_BUNDLE, cpio, zstd"
)

#: Programs that the engine's files run in stage two.
PROGRAMS = (
    # fmt: off
    "blkid",
    "blockdev",
    "busybox",
    "dmsetup",
    "e2fsck",
    "efibootmgr",
    "findmnt",
    "fsfreeze",
    "grub-mkimage",
    "grub-script-check",
    "ip",
    "kexec",
    "kmod",
    "lsblk",
    "lvm",
    "lvs",
    "mdadm",
    "mke2fs",
    "mkfs.ext4",
    "mkfs.vfat",
    "mkfs.xfs",
    "mkswap",
    "modprobe",
    "mount",
    "openssl",
    "partx",
    "python3",
    "reboot",
    "resize2fs",
    "sgdisk",
    "sshd",
    "sulogin",
    "tar",
    "tune2fs",
    "udevadm",
    "udhcpc",
    "umount",
    "wipefs",
    "xfs_admin",
    "xfs_growfs",
    "xfs_repair",
    "xz",
    "zstd",
    # fmt: on
)

DEVICES = {
    "virtio": "builtin:virtio_pci",
    "virtio disk": "virtio:d00000002v00001AF4",
    "virtio network": "virtio:d00000001v00001AF4",
    "AHCI": "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
    "NVMe": "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02",
    "e1000e": "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00",
    "i350": "pci:v00008086d00001521sv00008086sd00000001bc02sc00i00",
    "r8169": "pci:v000010ECd00008168sv000010ECsd00000123bc02sc00i00",
    "tg3": "pci:v000014E4d0000165Fsv00001028sd000004F7bc02sc00i00",
    "MegaRAID": "pci:v00001000d0000005Dsv00001028sd00001F47bc01sc04i00",
    "vmxnet3": "pci:v000015ADd000007B0sv000015ADsd000007B0bc02sc00i00",
    "VMware paravirtual SCSI": "pci:v000015ADd000007C0sv000015ADsd000007C0bc01sc00i00",
    "Hyper-V network": "vmbus:635161f83edfc546913ff2d2f965ed0e",
    "Xen disk": "xen:vbd",
    "SD card": "mmc:block",
    "USB disk": "usb:v0951p1666d0110dc00dsc00dp00ic08isc06ip50in00",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked initrd: its two archives follow each other, each padded with zeros to four bytes."""
    folder = tmp_path_factory.mktemp("initrd")
    data = (Path(BUNDLE) / "environment/initrd.img").read_bytes()
    second = data.rindex(b"\x28\xb5\x2f\xfd")
    for number, part in enumerate((data[:second], data[second:])):
        packed = folder.parent / f"part{number}.zst"
        # zstd counts the padding as rubbish behind the frame, hence not check=True.
        packed.write_bytes(part.rstrip(b"\0"))
        plain = subprocess.run(["zstd", "-dcq", str(packed)], capture_output=True, check=False).stdout
        subprocess.run(["cpio", "-idm", "--quiet"], input=plain, cwd=folder, check=True)
    return folder


def test_the_bundle_is_whole_and_small_enough() -> None:
    document = json.loads((Path(BUNDLE) / "manifest.json").read_bytes())
    loaded = manifest.load(document)
    manifest.check_files(Path(BUNDLE), loaded)
    assert loaded.environment.initrd.size <= 60 << 20
    assert loaded.environment.unpacked_bytes <= 120 << 20


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_stage_two_is_there_with_its_libraries(root: Path, name: str) -> None:
    paths = [root / folder / name for folder in ("usr/bin", "usr/sbin")]
    path = next(path for path in paths if path.is_symlink() or path.exists())
    real = elf.inside(root, "/" + str(path.relative_to(root)))
    assert real.is_file()
    for needed in elf.closure(root, [real], ("/usr/lib/x86_64-linux-gnu", "/usr/lib")):
        assert needed.exists() or needed.is_symlink()


def test_the_engine_and_the_first_process_are_those_of_this_tree(root: Path) -> None:
    here = Path(__file__).resolve().parents[2]
    assert (root / "init").read_bytes() == (here / "roles/bundle/files/init").read_bytes()
    assert (root / "usr/lib/dualroot/dualroot/stage_two").is_dir()
    assert not (root / "usr/lib/dualroot/dualroot/ansible_module.py").exists()


def test_nobody_can_log_in_before_a_host_s_own_accounts_are_there(root: Path) -> None:
    shadow = (root / "etc/shadow").read_text().splitlines()
    assert shadow
    assert all(line.split(":")[1] in ("*", "!") for line in shadow)
    assert not any((root / "etc/ssh").glob("ssh_host_*"))
    assert not (root / "root/.ssh").exists()


@pytest.mark.parametrize("device", DEVICES)
def test_common_machines_are_driven(device: str) -> None:
    patterns = json.loads((Path(BUNDLE) / "environment/modaliases.json").read_bytes())
    assert any(fnmatchcase(DEVICES[device], pattern) for pattern in patterns), device


def test_grub_s_modules_are_there(root: Path) -> None:
    for name in ("boot.img", "diskboot.img", "kernel.img", "biosdisk.mod", "lvm.mod", "part_gpt.mod", "moddep.lst"):
        assert (root / "usr/lib/grub/i386-pc" / name).is_file()


def test_the_loader_for_uefi_hosts_is_there(root: Path) -> None:
    image = (root / "usr/lib/dualroot/grubx64.efi").read_bytes()
    assert image[:2] == b"MZ"
    # Its configuration lies in it uncompressed: it reads who starts next from where it was loaded.
    assert b"configfile $prefix/switch.cfg" in image
    assert not (root / "usr/lib/grub/x86_64-efi").exists()


@pytest.mark.parametrize("name", ["vfat", "efivarfs", "nls_ascii", "nls_cp437"])
def test_it_can_write_to_an_esp_and_to_the_firmware(root: Path, name: str) -> None:
    (release,) = (root / "usr/lib/modules").iterdir()
    builtin = (release / "modules.builtin").read_text()
    assert f"/{name}.ko" in builtin or list(release.rglob(f"{name}.ko*"))
