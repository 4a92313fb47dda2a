# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The loader for UEFI hosts: one image of GRUB for every host, made when the environment is built.

It knows no disk and no run: it takes the disk that the firmware loaded it from, and reads there who starts
next. ``\\EFI\\dualroot\\grubx64.efi`` and the removable-media path hold the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

#: All that the dispatcher and the lifeboat need: nothing is loaded from a file system later.
MODULES = (
    *("part_gpt", "part_msdos", "fat", "ext2", "xfs", "lvm", "diskfilter", "search", "search_fs_uuid", "loopback"),
    *("normal", "configfile", "loadenv", "test", "true", "eval", "regexp", "echo", "sleep", "minicmd"),
    *("linux", "boot", "gzio", "xzio", "zstd", "serial", "terminal", "ls", "cat", "reboot", "halt"),
    # The kernel takes over the firmware's screen only from these.
    *("efi_gop", "efi_uga", "video"),
)
#: A prefix without a device: GRUB takes the one it was loaded from (``grub_set_prefix_and_root``).
PREFIX = "/EFI/dualroot"
PAUSE_SECONDS = 20

#: For GRUB's rescue parser, one command a line; each line is tried whatever became of the one before. A switch
#: that cannot be read leaves the two that it names, the finished one first.
EARLY = f"""\
regexp --set=1:dr_disk "^([^,]+)" "$root"
export dr_disk
configfile $prefix/switch.cfg
configfile $prefix/dispatch.cfg
configfile $prefix/lifeboat.cfg
echo "dualroot: nothing to start on $root; next try in {PAUSE_SECONDS} s"
sleep {PAUSE_SECONDS}
reboot
"""


def build_argv(directory: str, config: str, output: str) -> Sequence[str]:
    """Return the command that makes the image; ``config`` is a file with ``EARLY``."""
    options = ["-O", "x86_64-efi", "-d", directory, "-p", PREFIX, "-c", config, "-o", output]
    return ["grub-mkimage", *options, *MODULES]
