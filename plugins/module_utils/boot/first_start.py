# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a new slot need not do at its first start, which is downtime.

systemd rebuilds caches (ldconfig, hwdb, journal catalogue) where ``/usr`` is newer than the notes in ``/etc`` and
``/var`` (``ConditionNeedsUpdate=``, systemd-update-done.service(8)). A payload has them from its own package manager.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..archive.durable import write_file

NOTES = ("etc/.updated", "var/.updated")
_TEXT = b"# Written by dualroot.migrate, as systemd-update-done.service(8) does; holds a time only.\n"
#: Made by the package manager; a payload without it has an ``/etc`` that was never brought up to its ``/usr``.
_SIGN = "etc/ld.so.cache"


def settle(root: Path) -> bool:
    """Write the notes into the system below ``root``, as the last of its files; return whether that was right."""
    usr = root / "usr"
    if not usr.is_dir() or not (root / _SIGN).is_file():
        return False
    time = usr.stat().st_mtime_ns
    for name in NOTES:
        path = root / name
        write_file(path, _TEXT)
        os.utime(path, ns=(time, time))
    return True
