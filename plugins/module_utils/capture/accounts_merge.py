# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Merging captured accounts into those of the new system: pure, texts in and texts out.

Accounts are merged by name. System accounts of the new system keep their ids, because its packages'
files belong to those ids. Ordinary captured accounts keep theirs, because the host's data belong to
those; an ordinary account of the payload that is in the way moves to a free id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..faults import capture as kinds
from .accounts import FIRST_USER, NOBODY, User, user_from
from .finding import finding

#: Range of system accounts made by packages (``login.defs(5)``: SYS_UID_MIN, SYS_UID_MAX).
_SYSTEM_IDS = range(999, 99, -1)


@dataclass
class Merged:
    """The files' new texts, and what has to be followed up in the file tree.

    ``moved`` are ``(home, old uid, new uid)`` of the payload's accounts that changed their id.
    ``users`` are the captured users with the ids that they have now.
    """

    passwd: str
    shadow: str = field(repr=False)
    group: str = ""
    gshadow: str = field(repr=False, default="")
    users: list[User] = field(default_factory=list)
    moved: list[tuple[str, int, int]] = field(default_factory=list)
    findings: list[dict[str, str]] = field(default_factory=list)


class _Table:
    """Lines of a file keyed by their first field, in their order; odd lines are kept."""

    def __init__(self, text: str, width: int) -> None:
        self.width = width
        self.rows: dict[str, list[str]] = {}
        for number, line in enumerate(text.splitlines()):
            fields = line.split(":")
            self.rows[fields[0] if len(fields) >= width else f"\0{number}"] = fields

    def text(self) -> str:
        return "".join(":".join(fields) + "\n" for fields in self.rows.values())

    def real(self) -> Iterable[tuple[str, list[str]]]:
        return [(name, fields) for name, fields in self.rows.items() if not name.startswith("\0")]

    def ids(self) -> dict[int, str]:
        """Return ``{id: name}``; the first name of an id holds, as for ``getpwuid(3)``."""
        found: dict[int, str] = {}
        for name, fields in self.real():
            if fields[2].isdigit():
                found.setdefault(int(fields[2]), name)
        return found


def merge(
    accounts: Mapping[str, Any], passwd: str, shadow: str, group: str, gshadow: str = "", shells: str = ""
) -> Merged:
    """Merge ``accounts`` of a capture into the texts of the new system's files.

    ``shells`` are the paths of shells that exist there, one per line; a user whose shell is not
    among them gets ``/bin/bash`` or ``/bin/sh``. Merging twice gives the same texts.
    """
    users, groups = _Table(passwd, 7), _Table(group, 4)
    result = Merged(passwd, shadow)
    gids = _merge_groups(accounts.get("groups", ()), users, groups, result)
    secrets, group_secrets = _Table(shadow, 2), _Table(gshadow, 4)
    for document in accounts.get("users", ()):
        user = user_from(document)
        user = _placed(replace(user, gid=gids.get(user.gid, user.gid)), users, result)
        user = replace(user, shell=_shell(user.shell, shells))
        users.rows[user.name] = [
            user.name, "x", str(user.uid), str(user.gid), user.gecos, user.home, user.shell,
        ]  # fmt: skip
        secrets.rows[user.name] = [user.name, user.hash, *user.aging]
        result.users.append(user)
    if gshadow:
        for name, fields in groups.real():
            row = group_secrets.rows.setdefault(name, [name, "!", "", ""])
            row[3] = fields[3]
    result.passwd, result.shadow = users.text(), secrets.text()
    result.group, result.gshadow = groups.text(), group_secrets.text()
    return result


def conflicts(accounts: Mapping[str, Any], passwd: str, group: str) -> list[dict[str, str]]:
    """Return what a merge would have to move, as findings, for a look before anything is done."""
    return merge(accounts, passwd, "", group).findings


def _merge_groups(wanted: Iterable[Mapping[str, Any]], users: _Table, groups: _Table, result: Merged) -> dict[int, int]:
    """Add and extend groups; returns ``{gid on the old system: gid on the new one}``."""
    gids: dict[int, int] = {}
    for entry in wanted:
        name, gid = entry["name"], entry["gid"]
        row = groups.rows.get(name)
        if row is None or (int(row[2]) != gid and gid >= FIRST_USER and int(row[2]) >= FIRST_USER):
            new_gid, owner_moved_to = _free_for(gid, name, "group", groups, result)
            if owner_moved_to is not None:
                _change_primary(users, gid, owner_moved_to)
            if row is not None:
                _change_primary(users, int(row[2]), new_gid)
            row = groups.rows.setdefault(name, [name, "x", "", ""])
            row[2] = str(new_gid)
        elif int(row[2]) != gid:
            result.findings.append(
                finding(kinds.ID_CONFLICT, what="group", name=name, id=gid, other=f"{name} as {row[2]}")
            )
        gids[gid] = int(row[2])
        members = [member for member in row[3].split(",") if member]
        members += [member for member in entry.get("members", ()) if member not in members]
        row[3] = ",".join(members)
    return gids


def _placed(user: User, users: _Table, result: Merged) -> User:
    """Return the user with the uid that it gets; makes room for it where that is right."""
    row = users.rows.get(user.name)
    have = int(row[2]) if row else None
    if have == user.uid or user.uid == 0:
        return user
    if have is not None and have < FIRST_USER:
        # A system account of the new system: its files belong to the id that it has there.
        other = f"{user.name} as {have}"
        result.findings.append(finding(kinds.ID_CONFLICT, what="user", name=user.name, id=user.uid, other=other))
        return replace(user, uid=have)
    owner = users.ids().get(user.uid, "")
    uid, owner_moved_to = _free_for(user.uid, user.name, "user", users, result)
    if owner_moved_to is not None:
        result.moved.append((users.rows[owner][5], user.uid, owner_moved_to))
    if have is not None and row is not None:
        result.moved.append((row[5], have, uid))
    return replace(user, uid=uid)


def _free_for(wanted: int, name: str, what: str, table: _Table, result: Merged) -> tuple[int, int | None]:
    """Return the id that ``name`` gets, and the one to which its owner had to move, if any did."""
    owner = table.ids().get(wanted)
    if owner is None or owner == name:
        return wanted, None
    result.findings.append(finding(kinds.ID_CONFLICT, what=what, name=name, id=wanted, other=owner))
    taken = set(table.ids())
    if wanted < FIRST_USER:
        return next(number for number in _SYSTEM_IDS if number not in taken), None
    number = next(candidate for candidate in range(FIRST_USER, NOBODY) if candidate not in taken)
    table.rows[owner][2] = str(number)
    return wanted, number


def _change_primary(users: _Table, old_gid: int, new_gid: int) -> None:
    for _name, fields in users.real():
        if fields[3] == str(old_gid):
            fields[3] = str(new_gid)


def _shell(shell: str, shells: str) -> str:
    existing = shells.split()
    if not existing or not shell or shell in existing:
        return shell
    return next((entry for entry in ("/bin/bash", "/bin/sh") if entry in existing), shell)
