# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the values of a plan must be, beyond their types: they end in paths, kernel lines and sizes."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from .. import shape

#: Seconds since 1970 that every clock can show, for some 34,000 years.
_LATEST = 1 << 40
_LARGEST = (1 << 63) - 1
_RUN = re.compile(r"(?!\.)[A-Za-z0-9_.+-]{1,100}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: What GRUB's parser hands on unchanged.
SAFE_ARGUMENT = re.compile(r"[A-Za-z0-9_.,:=/@%+~!-]+")

_BOOT_FILE = re.compile(r"/boot(/(?!\.\.)[A-Za-z0-9_.,:=@%+~-]+)+")


def _matches(pattern: re.Pattern[str], what: str) -> shape.Rule:
    return lambda value: "" if isinstance(value, str) and pattern.fullmatch(value) else f"must be {what}"


def _host(value: Any) -> str:
    """The name of a host names a folder of evidence."""
    return _line(value) or ("" if value.strip() and value not in (".", "..") and "/" not in value else "is no name")


def _line(value: Any) -> str:
    return shape.printable(value) or shape.line(value)


def _inner_path(value: Any) -> str:
    if _line(value):
        return _line(value)
    pure = PurePosixPath(value)
    return "" if pure.name and not pure.is_absolute() and ".." not in pure.parts else "must be a file inside the bundle"


def _folder(value: Any) -> str:
    return _line(value) or shape.path(value)


def _extent(value: Any) -> str:
    wrong = not isinstance(value, (list, tuple)) or len(value) != 2 or any(_SIZE(number) for number in value)
    return "must be a pair of start and length in bytes" if wrong else ""


_SIZE = shape.whole(0, _LARGEST)
_TIME = shape.whole(0, _LATEST)
_FILE = {"file": _inner_path, "sha256": _matches(_SHA256, "64 hexadecimal digits"), "size": _SIZE}
VALUES: dict[str, Any] = {
    "run_id": _matches(_RUN, "at most 100 letters, digits, and _ . + -, without a point at the start"),
    "host": _host,
    "go_timeout": _TIME,
    # Less would restart a system that is only slow to start.
    "trial_limit": shape.either(shape.whole(0, 0), shape.whole(60, 86400)),
    "created": _TIME,
    "expires": _TIME,
    "bundle": {"name": _line, "version": _line},
    "payload": {**_FILE, "compression": shape.one_of("zstd", "xz", "gzip", "none"), "unpacked_bytes": _SIZE},
    "environment": {"kernel": _FILE, "initrd": _FILE},
    "disk": {
        "serial": _line,
        "wwn": _line,
        "by_id": [_line],
        "size_bytes": _SIZE,
        "sector_bytes": shape.whole(512, 4096),
        "table_id": _line,
        "root_uuid": shape.word,
        "name": _line,
    },
    "staging": {"uuid": shape.word, "fstype": shape.word, "directory": _folder, "run_directory": _folder},
    "lifeboat": {
        "wish": shape.one_of("required", "auto", "none"),
        "needed_bytes": _SIZE,
        "allowed": [_extent],
        "gaps": [_extent],
        "swaps": [_extent],
    },
    "keep_old?": shape.Maybe(
        {
            "wish": shape.one_of("required", "auto"),
            "uuid": _matches(re.compile(r"[0-9A-Fa-f-]{8,36}"), "the UUID of a file system"),
            "fstype": shape.one_of("ext3", "ext4", "xfs"),
            "number": shape.whole(1, 128),
            "start": _SIZE,
            "length": _SIZE,
            "was": _SIZE,
            "kernel": _matches(_BOOT_FILE, "a file below /boot"),
            "initrd": _matches(_BOOT_FILE, "a file below /boot"),
            "arguments": [_matches(SAFE_ARGUMENT, "letters, digits and _ . , : = / @ % + ~ ! -")],
            "title": _line,
        }
    ),
    "kernel_arguments": [_matches(SAFE_ARGUMENT, "letters, digits and _ . , : = / @ % + ~ ! -")],
    "login_user": shape.name,
    "health?": shape.Maybe({"commands": [shape.printable]}),
}


#: What only the plan of an update has.
_OF_UPDATE: dict[str, Any] = {"from_run_id": VALUES["run_id"], "from_bundle": {"name": _line, "version": _line}}

_OPTION = re.compile(r"[^\s\x00-\x1f]{1,255}")


def _sectors(value: Any) -> str:
    return _SIZE(value) or ("" if value % 512 == 0 else "must be whole sectors of 512 bytes")


#: What only the plan of a restore has.
_OF_RESTORE: dict[str, Any] = {
    "from_run_id": VALUES["run_id"],
    "old": {
        "run_id": VALUES["run_id"],
        "root": {
            "start": _sectors,
            "length": _sectors,
            "uuid": _matches(re.compile(r"[0-9a-f-]{36}"), "the UUID of a file system"),
            "label": _line,
            "options": [_matches(_OPTION, "an option of mkfs.ext4")],
            "blocks": shape.whole(1, _LARGEST),
            "grown": shape.whole(1, _LARGEST),
            "block_bytes": shape.whole(1024, 65536),
        },
        "cleared": [_extent],
        "pieces": [
            {
                "file": _matches(re.compile(r"[a-z0-9-]{1,40}\.bin"), "a file of the evidence"),
                "skip": _sectors,
                "start": _sectors,
                "length": _sectors,
                "sha256": _matches(_SHA256, "64 hexadecimal digits"),
            }
        ],
    },
}


def problems(plan: Any) -> list[str]:
    """Return every problem of a plan whose types are right, each with its path."""
    if plan.get("mode") == "restore":
        return shape.problems({**_known(plan), **_OF_RESTORE}, plan)
    if plan.get("mode") != "update":
        return shape.problems(VALUES, plan)
    # Of a lifeboat an update says only that there is none.
    wanted = {name: rule for name, rule in _known(plan).items() if name != "lifeboat"}
    return shape.problems({**wanted, **_OF_UPDATE}, plan)


def _known(plan: Any) -> dict[str, Any]:
    return {name: rule for name, rule in VALUES.items() if name in plan}
