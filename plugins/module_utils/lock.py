# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lock of a host: one controller at a time, told apart by its process, until a given time.

A file on the host, ``/var/lib/dualroot/lock``, one line of JSON. What counts as held is decided here;
taking it without a race is work of the shell text in ``plugin_utils/locking.py``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from .faults import flow as kinds
from .faults.fault import Fault

PATH = "/var/lib/dualroot/lock"
#: Seconds; longer than a patient operator's staging, short enough for the next day's attempt.
LIFETIME = 14400


@dataclass(frozen=True)
class Holder:
    """Who holds the lock.

    ``owner`` is ``user@controller`` for people; ``controller`` names one boot of one machine, and ``process``
    with ``started`` one process of it (its start time, so that a number that is used again does not count).
    """

    owner: str
    controller: str
    process: int
    started: str
    run_id: str


@dataclass(frozen=True)
class Lock:
    """A lock as read from a host; times are seconds since 1970 by the host's clock."""

    holder: Holder
    created: int
    expires: int


def read(text: str) -> Lock | None:
    """Return the lock, or ``None`` for a text that is none: it is written as a whole, so nobody holds that one."""
    try:
        document = json.loads(text)
        values = {field.name: document[field.name] for field in fields(Holder)}
        lock = Lock(Holder(**values), int(document["created"]), int(document["expires"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    texts = all(isinstance(values[name], str) for name in ("owner", "controller", "started", "run_id"))
    return lock if texts and isinstance(lock.holder.process, int) else None


def show(holder: Holder) -> str:
    """Return the holder's part of the line: everything up to the times, which the host adds."""
    return json.dumps(asdict(holder), sort_keys=True, separators=(",", ":"), ensure_ascii=True)[:-1]


def may_take(found: Lock | None, wanted: Holder, now: int, alive: Callable[[Holder], bool]) -> bool:
    """Tell whether ``wanted`` may take the lock that was found.

    ``alive`` tells whether a process of this very controller still runs: a killed controller must not lock
    itself out.
    """
    if found is None or found.expires <= now or found.holder.run_id == wanted.run_id:
        return True
    same_controller = found.holder.controller == wanted.controller
    return same_controller and (found.holder.process == wanted.process or not alive(found.holder))


def fault(found: Lock | None) -> Fault:
    """Return the fault that names the holder."""
    if found is None:
        return Fault(kinds.LOCKED, owner="somebody", run_id="unknown", since="unknown", expires="unknown")
    return Fault(
        kinds.LOCKED,
        owner=found.holder.owner,
        run_id=found.holder.run_id,
        since=_clock(found.created),
        expires=_clock(found.expires),
    )


def to_document(lock: Lock | None) -> Mapping[str, Any] | None:
    """Return the lock as a result shows it."""
    if lock is None:
        return None
    return {
        "owner": lock.holder.owner,
        "run_id": lock.holder.run_id,
        "created": lock.created,
        "expires": lock.expires,
    }


def _clock(epoch: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(epoch))
    except (OverflowError, ValueError, OSError):
        return str(epoch)
