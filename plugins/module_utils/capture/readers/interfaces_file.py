# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The syntax of ``/etc/network/interfaces``: lines, sources, stanzas (``interfaces(5)``)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..tree import inside, names, read_text

MAIN_FILE = "/etc/network/interfaces"
#: ``source-directory`` takes only files of such names, like ``run-parts(8)``.
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]+")
#: More files than this are a circle of ``source`` lines.
_MAXIMUM_FILES = 200


@dataclass
class Stanza:
    """One ``iface`` stanza; ``options`` are ``(line, keyword, value)`` in their order."""

    name: str
    family: str
    method: str
    file: str
    line: int
    options: list[tuple[int, str, str]] = field(default_factory=list)


@dataclass
class InterfacesFile:
    """Everything the files say; ``started`` are the words of ``auto`` and ``allow-*`` lines.

    ``others`` are ``(file, line, text)`` of stanzas and lines that have no place in the model.
    """

    stanzas: list[Stanza] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    others: list[tuple[str, int, str]] = field(default_factory=list)


def parse(root: Path) -> InterfacesFile:
    """Read the main file and everything that it sources."""
    result = InterfacesFile()
    _parse_file(root, MAIN_FILE, result, [])
    return result


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield ``(number, line)``: comments and empty lines left out, continued lines joined."""
    joined, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if not joined and (not line.strip() or line.lstrip().startswith("#")):
            continue
        start = start if joined else number
        if line.endswith("\\"):
            joined += line[:-1] + " "
            continue
        yield start, (joined + line).strip()
        joined = ""
    if joined.strip():
        yield start, joined.strip()


def _parse_file(root: Path, path: str, result: InterfacesFile, seen: list[str]) -> None:
    seen.append(path)
    if len(seen) > _MAXIMUM_FILES:
        return
    stanza: Stanza | None = None
    in_mapping = False
    for number, line in logical_lines(read_text(root, path)):
        word, _space, rest = line.partition(" ") if " " in line else line.partition("\t")
        rest = rest.strip()
        in_mapping = word == "mapping" or (in_mapping and word in ("script", "map"))
        if word == "iface":
            stanza = _open(result, path, number, rest)
        elif word in ("source", "source-directory"):
            stanza = None
            for found in _sourced(root, path, word, rest):
                _parse_file(root, found, result, seen)
        elif word == "auto" or word.startswith("allow-"):
            stanza = None
            result.started.extend(rest.split())
        elif word in ("mapping", "rename", "template"):
            stanza = None
            result.others.append((path, number, line))
        elif word.startswith("no-auto-down") or word == "no-scripts":
            stanza = None
        elif stanza is not None:
            stanza.options.append((number, word, rest))
        elif not in_mapping:
            result.others.append((path, number, line))


def _open(result: InterfacesFile, path: str, number: int, rest: str) -> Stanza:
    words = rest.split()
    if "inherits" in words:
        result.others.append((path, number, f"iface {rest}"))
        words = words[: words.index("inherits")]
    name, family, method = [*words, "", "", ""][:3]
    stanza = Stanza(name, family or "inet", method or "manual", path, number)
    result.stanzas.append(stanza)
    return stanza


def _sourced(root: Path, path: str, word: str, pattern: str) -> list[str]:
    base = pattern if pattern.startswith("/") else f"{path.rpartition('/')[0]}/{pattern}"
    if word == "source-directory":
        found = [f"{base.rstrip('/')}/{name}" for name in names(root, base) if _FILE_NAME.fullmatch(name)]
        return [entry for entry in found if inside(root, entry).is_file()]
    paths = [""]
    for part in base.split("/")[1:]:
        if any(letter in part for letter in "*?["):
            paths = [
                f"{head}/{name}"
                for head in paths
                for name in names(root, head or "/")
                if fnmatch.fnmatchcase(name, part) and not (name.startswith(".") and part[0] != ".")
            ]
        else:
            paths = [f"{head}/{part}" for head in paths]
    # A folder given to `source` is taken like source-directory by newer releases of ifupdown.
    return [entry for entry in paths if inside(root, entry).is_file()]
