# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which mount holds a path, and whether it is read-only."""

from __future__ import annotations

import os
from pathlib import Path

from ..disk import sysfs
from ..disk.usage import Mount, mounts
from ..probe.mounts import is_inside


def find(path: Path, root: Path = sysfs.ROOT) -> Mount | None:
    """Return the mount that holds ``path``, or None where the kernel does not tell."""
    wanted = os.path.realpath(path)
    holding = [mount for mount in mounts(root) if is_inside(wanted, mount.target)]
    # The longest mount point holds the path; of several mounts on one point, the last is seen.
    return max(enumerate(holding), key=lambda item: (len(item[1].target), item[0]))[1] if holding else None


def is_read_only(mount: Mount) -> bool:
    """Tell whether the mount itself is read-only; its own options stand before the file system's."""
    return mount.options.split(",")[0] == "ro"
