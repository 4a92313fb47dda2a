# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one look at a host over SSH brought back, read from what the probe printed or ssh said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Union

_BEGIN, _END = "DUALROOT-BEGIN", "DUALROOT-END"
_STATUS, _FACT, _SLOTS = "DUALROOT-STATUS", "DUALROOT-FACT", "DUALROOT-SLOTS"
_OUTCOMES, _HEALTH = "DUALROOT-OUTCOMES", "DUALROOT-HEALTH"

#: The probe: POSIX sh, only reads, works without Python, root or a PATH, in the old system, in stage
#: two, in the recovery system and in the new system alike. It never fails, so that a status other
#: than 0 always means that the connection, not the probe, is at fault.
PROBE = f"""PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
echo {_BEGIN}
echo "boot_id $(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
echo "uptime $(cat /proc/uptime 2>/dev/null)"
echo "cmdline $(cat /proc/cmdline 2>/dev/null)"
echo {_STATUS}
cat /run/dualroot/status.json 2>/dev/null; echo
echo {_FACT}
cat /etc/ansible/facts.d/dualroot.fact 2>/dev/null; echo
echo {_SLOTS}
tr -d '\\000' </boot/dispatch/state 2>/dev/null | grep '^dr_' 2>/dev/null
echo {_OUTCOMES}
tail -n 8 /boot/dispatch/outcomes.jsonl 2>/dev/null; echo
echo {_HEALTH}
cat /run/dualroot/health.json 2>/dev/null; echo
echo {_END}
exit 0"""

_KEY_CHANGED = ("REMOTE HOST IDENTIFICATION HAS CHANGED", "Host key verification failed")
# ansible-core's ssh plugin replaces the message of ssh by this one where a password is set.
_KEY_CHANGED_PASSWORD = "Using a SSH password instead of a key is not possible"
_REFUSED = ("Permission denied", "Invalid/incorrect password", "Too many authentication failures")


@dataclass(frozen=True)
class Answer:
    """The host let us in and told its markers."""

    boot_id: str
    uptime: float
    #: the ``dualroot.*`` arguments of the kernel, without the prefix
    arguments: Mapping[str, str] = field(default_factory=dict)
    #: stage two's ``status.json``, or None where there is none or it is being rewritten
    status: Mapping[str, Any] | None = None
    #: the converted system's ``dualroot.fact``
    fact: Mapping[str, Any] | None = None
    #: the slot state's ``dr_*`` variables where it can be read
    slots: Mapping[str, str] = field(default_factory=dict)
    #: the last things that happened to the slots, the newest last, as ``boot/records.py`` writes them
    outcomes: tuple[Mapping[str, Any], ...] = ()
    #: what the slot's own checks say: ``{"result": "running"|"passed"|"failed", "reason": ...}``, or None
    health: Mapping[str, Any] | None = None
    #: ssh let us in though it warned of a changed host key (host key checking is off)
    key_warning: bool = False


@dataclass(frozen=True)
class Silence:
    """Nobody answered; ``refused`` where somebody did, but did not let us in."""

    reason: str
    refused: bool = False


@dataclass(frozen=True)
class KeyChanged:
    """Somebody answered with another host key than the known one."""

    reason: str


Observation = Union[Answer, Silence, KeyChanged]


def _document(text: str) -> Mapping[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _sections(text: str) -> dict[str, str] | None:
    """Cut the probe's output at its marker lines; None where it is not whole."""
    lines = text.replace("\r", "").split("\n")
    if _BEGIN not in lines or _END not in lines:
        return None
    sections: dict[str, list[str]] = {}
    current = _BEGIN
    for line in lines[lines.index(_BEGIN) : lines.index(_END)]:
        if line in (_BEGIN, _STATUS, _FACT, _SLOTS, _OUTCOMES, _HEALTH):
            current = line
            sections[current] = []
        else:
            sections[current].append(line)
    return {name: "\n".join(body) for name, body in sections.items()}


def _dualroot_arguments(cmdline: str) -> dict[str, str]:
    found = {}
    for word in cmdline.split():
        name, _separator, value = word.partition("=")
        if name.startswith("dualroot."):
            found[name[len("dualroot.") :]] = value
    return found


def read_answer(stdout: str, stderr: str = "") -> Observation:
    """Read what the probe printed; a cut or foreign output counts as silence."""
    sections = _sections(stdout)
    if sections is None:
        return Silence("the login worked but the answer was cut short or not from a shell")
    values = {}
    for line in sections[_BEGIN].split("\n"):
        name, _separator, value = line.partition(" ")
        values[name] = value.strip()
    if not values.get("boot_id") or not values.get("cmdline"):
        # What a shutdown kills first are the small programs of the probe; without these two lines the old system
        # that is going down looks like one that has come back.
        return Silence("the login worked but its programs were ended: the system is going down")
    uptime = values.get("uptime", "").split(" ")[0]
    slots = dict(line.split("=", 1) for line in sections.get(_SLOTS, "").split("\n") if "=" in line)
    happened = (_document(line) for line in sections.get(_OUTCOMES, "").split("\n"))
    return Answer(
        boot_id=values.get("boot_id", ""),
        uptime=float(uptime) if uptime.replace(".", "", 1).isdigit() else 0.0,
        arguments=_dualroot_arguments(values.get("cmdline", "")),
        status=_document(sections.get(_STATUS, "")),
        fact=_document(sections.get(_FACT, "")),
        slots=slots,
        outcomes=tuple(one for one in happened if one is not None),
        health=_document(sections.get(_HEALTH, "")),
        key_warning=_KEY_CHANGED[0] in stderr,
    )


def read_failure(message: str) -> Observation:
    """Sort what ssh or the connection plugin said when the connection failed."""
    text = " ".join(message.split())
    if any(mark in text for mark in _KEY_CHANGED) or _KEY_CHANGED_PASSWORD in text:
        return KeyChanged(_last_part(text))
    return Silence(_last_part(text), refused=any(mark in text for mark in _REFUSED))


def _last_part(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else "..." + text[-limit:]
