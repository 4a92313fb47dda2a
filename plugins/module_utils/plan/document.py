# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan as a frozen document: its shape, its digest, and how long it is good for.

``load`` is what every consumer calls (staging, stage two, verify); nothing after it looks for
missing fields again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from ..faults import plan as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedLayout
from ..shape import foreign
from .content import problems as content_problems

VERSION = 1
#: Clocks of hosts without a battery may be behind by this much before a plan seems to come from the future.
CLOCK_SLACK = 86400

_FILE = {"file": str, "sha256": str, "size": int}
#: Field to type, nested; a list of one type means "list of that", a tuple of one "that or
#: null", ``None`` stands for any mapping.
SHAPE: dict[str, Any] = {
    "version": int,
    "run_id": str,
    "host": str,
    "mode": str,
    "attended": bool,
    "go_timeout": int,
    "trial_limit": int,
    "created": int,
    "expires": int,
    # Fingerprint of the certificate that signed the manifest; empty only with dualroot_allow_unsigned.
    "bundle": {"name": str, "version": str, "manifest_sha256": str, "signed_by": str},
    "machine": {"hostname": str, "id": str},
    "payload": {**_FILE, "compression": str, "unpacked_bytes": int},
    "environment": {"kernel": _FILE, "initrd": _FILE},
    "disk": {
        "serial": str,
        "wwn": str,
        "by_id": [str],
        "size_bytes": int,
        "sector_bytes": int,
        "table": str,
        "table_id": str,
        "root_uuid": str,
        "name": str,
    },
    "staging": {"uuid": str, "fstype": str, "directory": str, "run_directory": str},
    "layout": None,
    # The EFI system partition that is kept, in bytes of the disk; null on a BIOS host.
    "esp": ({"start": int, "length": int, "partuuid": str, "fs_uuid": str},),
    # The old system that stays bootable until commit, sizes in bytes; null, or missing, where it goes.
    "keep_old": (
        {
            "wish": str,
            "uuid": str,
            "fstype": str,
            "number": int,
            "start": int,
            "length": int,
            "was": int,
            "kernel": str,
            "initrd": str,
            "arguments": [str],
            "title": str,
        },
    ),
    "slot": str,
    "firmware": str,
    "renderer": str,
    "kernel_arguments": [str],
    "login_user": str,
    # The operator's health commands, and whether a failing one ends a try of the new system.
    "health": ({"commands": [str], "decisive": bool},),
    # Where a lifeboat may lie, extents as [start, length] in bytes of the disk.
    "lifeboat": {
        "wish": str,
        "used": bool,
        "needed_bytes": int,
        "allowed": [[int]],
        "gaps": [[int]],
        "swaps": [[int]],
    },
    "predicted": None,
    "digest": str,
}
_MAY_BE_MISSING = frozenset(("keep_old", "health"))
#: What only a run through stage two needs: an update installs while the host runs, on the layout that it has.
_OF_STAGE_TWO = frozenset(("attended", "go_timeout", "environment", "disk", "staging", "esp", "keep_old", "health"))
#: The plan of an update: ``slot`` is the target, ``from_*`` what runs while it is installed.
UPDATE_SHAPE: dict[str, Any] = {
    **{name: inner for name, inner in SHAPE.items() if name not in _OF_STAGE_TWO},
    "lifeboat": {"used": bool},
    "from_slot": str,
    "from_run_id": str,
    "from_bundle": {"name": str, "version": str},
}
_NOT_OF_RESTORE = frozenset(("esp", "keep_old", "health", "renderer", "trial_limit"))
#: The way back from a running slot to the old system; ``payload`` is the archive of its root, ``layout`` and ``disk``
#: are those of the converted disk, ``slot`` is the one that runs.
RESTORE_SHAPE: dict[str, Any] = {
    **{name: inner for name, inner in SHAPE.items() if name not in _NOT_OF_RESTORE},
    "from_run_id": str,
    "old": {
        "run_id": str,
        # Of the file system: options of mkfs.ext4, and its size in blocks.
        "root": {
            "start": int,
            "length": int,
            "uuid": str,
            "label": str,
            "options": [str],
            "blocks": int,
            # Blocks that it had; it is grown to them where a lifeboat lies in its place at first.
            "grown": int,
            "block_bytes": int,
        },
        "cleared": [[int]],
        # Sectors of the evidence that are put back, LBA 0 last.
        "pieces": [{"file": str, "skip": int, "start": int, "length": int, "sha256": str}],
    },
}
_SHAPES = {"update": UPDATE_SHAPE, "restore": RESTORE_SHAPE}
_CHOICES = {
    "version": (VERSION,),
    "mode": ("convert", "rehearse", "update", "restore"),
    "from_slot": ("a", "b"),
    "slot": ("a", "b"),
    "firmware": ("bios", "uefi"),
    "renderer": ("networkd", "ifupdown"),
}


def digest(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of everything but ``digest``, in hex."""
    content = {name: value for name, value in document.items() if name != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def freeze(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan with its digest; raises ``Fault`` ``plan.invalid`` for a wrong shape."""
    problems = foreign(document)
    if problems:
        raise Fault(kinds.INVALID, problems="; ".join(problems))
    frozen = {**document, "digest": digest(document)}
    return load(frozen)


def load(document: Any) -> dict[str, Any]:
    """Return the plan if its shape and its digest are right.

    Raises ``Fault`` ``plan.invalid`` with every wrong field and its path, ``layout.unreadable`` likewise
    for its layout, or ``plan.digest_mismatch``.
    """
    problems = foreign(document)
    mode = str(document.get("mode")) if isinstance(document, Mapping) else ""
    _check(_SHAPES.get(mode, SHAPE), document, "", problems)
    if not problems:
        problems += [
            f".{name}: {document[name]!r} is not one of {', '.join(map(str, allowed))}"
            for name, allowed in _CHOICES.items()
            if name in document and document[name] not in allowed
        ]
        problems += content_problems(document)
    if problems:
        raise Fault(kinds.INVALID, problems="; ".join(problems))
    found = digest(document)
    if found != document["digest"]:
        raise Fault(kinds.DIGEST, found=found, wanted=document["digest"])
    ResolvedLayout.from_document(document["layout"], ".layout")
    return dict(document)


def check_expiry(plan: Mapping[str, Any], now: float) -> None:
    """Raise ``Fault`` ``plan.expired`` when the plan is too old, or from the future, at ``now``."""
    if not plan["created"] - CLOCK_SLACK <= now <= plan["expires"]:
        raise Fault(kinds.EXPIRED, expires=_clock(plan["expires"]), now=_clock(now))


def _clock(epoch: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(epoch))


def _check(shape: Any, value: Any, path: str, problems: list[str]) -> None:
    if isinstance(shape, tuple):
        if value is not None:
            _check(shape[0], value, path, problems)
    elif isinstance(shape, dict) or shape is None:
        if not isinstance(value, Mapping):
            problems.append(f"{path or '.'}: a mapping is needed")
            return
        for name, inner in (shape or {}).items():
            if name not in value and name in _MAY_BE_MISSING:
                continue
            if name not in value:
                problems.append(f"{path}.{name}: missing")
            else:
                _check(inner, value[name], f"{path}.{name}", problems)
        if shape is not None:
            problems += [f"{path}.{name}: unknown" for name in sorted(map(str, set(value) - set(shape)))]
    elif isinstance(shape, list):
        if not isinstance(value, (list, tuple)):
            problems.append(f"{path}: a list is needed")
            return
        for index, item in enumerate(value):
            _check(shape[0], item, f"{path}[{index}]", problems)
    elif not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
        problems.append(f"{path}: {shape.__name__} is needed, not {type(value).__name__}")
