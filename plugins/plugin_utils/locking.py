# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side: take and release the lock of a host, with nothing but a POSIX shell there."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..module_utils import lock
from ..module_utils.faults import flow as kinds
from ..module_utils.faults.fault import Fault

#: How often the lock is looked at again when somebody else was quicker.
TRIES = 3

#: Runs shell text as root and returns ``{"rc", "stdout", "stderr"}``.
Shell = Callable[[str], Mapping[str, Any]]

#: A folder that exists while a lock is being replaced; gone after a restart, whatever happens.
CLAIM = "/run/dualroot-lock"

#: A new lock comes under its name by link(2), which fails where one is there already, so exactly one of two
#: succeeds and nobody reads half a lock. One that is void is replaced under a second, short lock (mkdir(2) is
#: as exclusive), and only if it is still what was seen.
_TAKE = """umask 077; trap '' HUP
lock={path}; new=$lock.new.$$; claim={claim}
mkdir -p "${{lock%/*}}" && now=$(date +%s) || exit 1
printf '%s,"created":%s,"expires":%s}}\\n' {holder} "$now" "$((now + {lifetime}))" >"$new" || exit 1
sync "$new" 2>/dev/null || sync
taken=false
if {replace}; then
  find "$claim" -maxdepth 0 -mmin +2 -exec rmdir '{{}}' ';' 2>/dev/null
  if mkdir "$claim" 2>/dev/null; then
    if [ "$(cat "$lock" 2>/dev/null)" = {seen} ] && mv -f "$new" "$lock"; then taken=true; fi
    rmdir "$claim"
  else sleep 1; fi
elif ln "$new" "$lock" 2>/dev/null; then taken=true; fi
rm -f "$new"
if $taken; then echo "DUALROOT-TAKEN $now"; else echo "DUALROOT-HELD $now"; cat "$lock" 2>/dev/null; fi
exit 0"""

_READ = """echo "DUALROOT-HELD $(date +%s)"; cat {path} 2>/dev/null; exit 0"""

_RELEASE = """if grep -qF {mark} {path} 2>/dev/null; then rm -f {path} && echo DUALROOT-RELEASED; fi; exit 0"""


def this_process(run_id: str) -> lock.Holder:
    """Return who would hold the lock: the playbook's main process, whose child each worker is."""
    process = os.getppid()
    return lock.Holder(
        owner=f"{_user()}@{socket.gethostname()}",
        controller=f"{socket.gethostname()} {_line('/proc/sys/kernel/random/boot_id')}".strip(),
        process=process,
        started=_started(process),
        run_id=run_id,
    )


def alive(holder: lock.Holder) -> bool:
    """Tell whether a process of this controller still runs."""
    if holder.started:
        return _started(holder.process) == holder.started
    try:
        os.kill(holder.process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def take(shell: Shell, wanted: lock.Holder, lifetime: int, force: bool = False) -> tuple[lock.Lock | None, str]:
    """Take or renew the lock; return the one that was replaced, and why that was right.

    Raises ``migrate.locked`` where another run holds it, and ``migrate.lock_failed``.
    """
    seen: str | None = None
    found = None
    for _attempt in range(TRIES):
        held, now, text = _ask(shell, _take_text(wanted, lifetime, seen))
        if not held:
            return found, _why(found, wanted, now)
        found = lock.read(text)
        if not (force or lock.may_take(found, wanted, now, alive)):
            raise lock.fault(found)
        seen = text
    raise lock.fault(found)


def look(shell: Shell, wanted: lock.Holder, force: bool = False) -> None:
    """Raise ``migrate.locked`` where ``take`` would; writes nothing."""
    _held, now, text = _ask(shell, _READ.format(path=lock.PATH))
    found = lock.read(text)
    if text and not (force or lock.may_take(found, wanted, now, alive)):
        raise lock.fault(found)


def release(shell: Shell, run_id: str) -> bool:
    """Remove the lock if it is this run's; return whether there was one."""
    done = shell(_RELEASE.format(mark=shlex.quote(mark(run_id)), path=lock.PATH))
    return "DUALROOT-RELEASED" in done["stdout"]


def mark(run_id: str) -> str:
    """Return what the lock of a run contains, and of no other."""
    return f'"run_id":{json.dumps(run_id, ensure_ascii=True)}'


def _take_text(wanted: lock.Holder, lifetime: int, seen: str | None) -> str:
    """Return the shell text; it replaces a lock only if its text is still ``seen``."""
    return _TAKE.format(
        path=lock.PATH,
        claim=CLAIM,
        replace="true" if seen is not None else "false",
        seen=shlex.quote(seen or ""),
        holder=shlex.quote(lock.show(wanted)),
        lifetime=int(lifetime),
    )


def _ask(shell: Shell, text: str) -> tuple[bool, int, str]:
    """Return whether somebody holds the lock, the host's time, and the text of that lock."""
    done = shell(text)
    lines = done["stdout"].replace("\r", "").split("\n")
    for index, line in enumerate(lines):
        words = line.split()
        if len(words) == 2 and words[0] in ("DUALROOT-TAKEN", "DUALROOT-HELD") and words[1].isdigit():
            return words[0] == "DUALROOT-HELD", int(words[1]), "\n".join(lines[index + 1 :]).rstrip("\n")
    detail = (done["stderr"] or done["stdout"]).strip()[-300:] or f"status {done['rc']}"
    raise Fault(kinds.LOCK_FAILED, detail=detail)


def _why(found: lock.Lock | None, wanted: lock.Holder, now: int) -> str:
    if found is None:
        return ""
    if found.holder.run_id == wanted.run_id:
        return "renewed"
    if found.expires <= now:
        return "expired"
    return "its process is gone" if lock.may_take(found, wanted, now, alive) else "broken"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started(process: int) -> str:
    """Return the start time of a process in clock ticks (proc(5), stat, field 22); empty where unknown."""
    # The second field is a name in brackets, which may hold spaces and brackets.
    words = _line(f"/proc/{process}/stat").rpartition(")")[2].split()
    return words[19] if len(words) > 19 else ""
