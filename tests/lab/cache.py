# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where built images and bundles are kept, outside the tree."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder that built things live in; it may be deleted at any time."""
    chosen = os.environ.get("DUALROOT_CACHE")
    return Path(chosen) / "lab" if chosen else Path.home() / ".cache/dualroot/lab"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time do something; the others wait for their turn."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
