# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""POSIX ACLs that an archive holds as text, brought to the restored files.

GNU tar writes them with the names of users and groups, and looks these up in the system that it
runs in. That is the wrong one while a foreign root is restored, so the names are looked up here in
the restored root itself, after tar. (ACLs that are stored raw, as extended attributes, are numeric
and are restored by tar.)
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

#: linux/posix_acl_xattr.h and linux/posix_acl.h: version, tags, and the id of entries without one.
_VERSION = 2
_NO_ID = 0xFFFFFFFF
_TAGS = {
    ("user", False): 0x01,
    ("user", True): 0x02,
    ("group", False): 0x04,
    ("group", True): 0x08,
    ("mask", False): 0x10,
    ("other", False): 0x20,
}
_SHORT = {"u": "user", "g": "group", "m": "mask", "o": "other"}
_PERMISSIONS = {"r": 4, "w": 2, "x": 1, "-": 0}

Ids = Mapping[str, int]


@dataclass(frozen=True)
class TextAcl:
    """One ACL of one member; ``kind`` is ``access`` or ``default``, ``path`` relative to the target."""

    path: bytes
    kind: str
    text: str


def apply(target: Path, acls: Iterable[TextAcl]) -> list[str]:
    """Set the ACLs below ``target``; return a line for each that could not be set."""
    found = list(acls)
    if not found:
        return []
    users, groups = _ids(target / "etc/passwd"), _ids(target / "etc/group")
    notes = []
    for acl in found:
        path = os.path.join(os.fsencode(target), acl.path)
        try:
            value = encode(acl.text, users, groups)
            os.setxattr(path, f"system.posix_acl_{acl.kind}", value, follow_symlinks=False)
        except (ValueError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            notes.append(f"{acl.kind} ACL of {ascii(os.fsdecode(acl.path))} is missing: {why}")
    return notes


def encode(text: str, users: Ids, groups: Ids) -> bytes:
    """Return the extended attribute for an ACL in the text form of acl(5).

    An entry may carry the number of its name as a fourth field (star's form). Raises ``ValueError``
    with the reason.
    """
    entries = []
    for line in text.replace(",", "\n").splitlines():
        entry = line.partition("#")[0].strip()
        if entry:
            entries.append(_entry(entry, users, groups))
    # The kernel wants them in the order of the tags.
    packed = b"".join(struct.pack("<HHI", *entry) for entry in sorted(entries, key=lambda one: (one[0], one[2])))
    return struct.pack("<I", _VERSION) + packed


def _entry(entry: str, users: Ids, groups: Ids) -> tuple[int, int, int]:
    words = [word.strip() for word in entry.split(":")]
    if len(words) == 2:
        # "mask:r-x" and "other:r-x" may leave the empty name out.
        words.insert(1, "")
    if len(words) not in (3, 4):
        raise ValueError(f"{entry!r} is no entry of an ACL")
    tag = _TAGS.get((_SHORT.get(words[0], words[0]), bool(words[1])))
    if tag is None or not set(words[2]) <= set(_PERMISSIONS):
        raise ValueError(f"{entry!r} is no entry of an ACL")
    permissions = sum(_PERMISSIONS[letter] for letter in words[2])
    if not words[1]:
        return tag, permissions, _NO_ID
    known = users if tag == _TAGS["user", True] else groups
    if words[1].isdigit():
        return tag, permissions, int(words[1])
    if words[1] in known:
        return tag, permissions, known[words[1]]
    if len(words) == 4 and words[3].isdigit():
        return tag, permissions, int(words[3])
    raise ValueError(f"nobody is called {words[1]!r} in the restored system")


def _ids(path: Path) -> dict[str, int]:
    """Return ``{name: id}`` of a restored ``passwd`` or ``group``; empty where it is no plain file."""
    if path.is_symlink() or not path.is_file():
        return {}
    rows = (line.split(":") for line in path.read_text("utf-8", "replace").splitlines())
    return {row[0]: int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}
