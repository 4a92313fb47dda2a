# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How each kind of file system is made and grown, so that boot loaders and old kernels read it."""

from __future__ import annotations

from ..faults import disk as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedFileSystem

#: The features of ext4 are named in full, because the defaults of e2fsprogs move: 1.47 adds
#: metadata_csum_seed, at which GRUB 2.06 stops, and orphan_file, which e2fsck 1.46 does not know.
#: GRUB's list is EXT2_DRIVER_SUPPORTED_INCOMPAT in grub-core/fs/ext2.c.
EXT4_FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,"
    "large_file,huge_file,dir_nlink,extra_isize,metadata_csum"
)


def make_argv(system: ResolvedFileSystem, device: str) -> list[str]:
    """Return the command that makes a file system; raises ``volumes.unknown_file_system``.

    Label and UUID may be empty; then there is no label, and the tool chooses a UUID.
    """
    if system.kind == "ext4":
        argv = ["mkfs.ext4", "-q", "-F", "-O", EXT4_FEATURES]
        argv += _option("-L", system.label) + _option("-U", system.uuid)
    elif system.kind == "xfs":
        # nrext64 is the default of new xfsprogs and unknown to GRUB 2.06 and to Linux before 5.19.
        argv = ["mkfs.xfs", "-q", "-f", "-i", "nrext64=0"]
        argv += _option("-L", system.label) + (["-m", f"uuid={system.uuid}"] if system.uuid else [])
    elif system.kind == "vfat":
        argv = ["mkfs.vfat", "-F", "32"]
        argv += _option("-n", system.label) + _option("-i", system.uuid.replace("-", ""))
    elif system.kind == "swap":
        argv = ["mkswap"]
        argv += _option("-L", system.label) + _option("-U", system.uuid)
    else:
        raise Fault(kinds.UNKNOWN_FILE_SYSTEM, file_system=system.kind, device=device)
    return [*argv, device]


def grow_argv(kind: str, device: str, mount: str = "") -> list[str] | None:
    """Return the command that grows a file system to its device, or None where there is none.

    ext4 grows mounted or not, xfs only mounted (xfs_growfs(8)).
    """
    if kind == "ext4":
        return ["resize2fs", device]
    if kind == "xfs" and mount:
        return ["xfs_growfs", mount]
    return None


def _option(flag: str, value: str) -> list[str]:
    return [flag, value] if value else []
