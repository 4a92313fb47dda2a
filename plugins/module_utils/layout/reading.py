# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads a document key by key and keeps every problem with its path, instead of the first."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import shape


@dataclass(frozen=True)
class Problem:
    """One error of a document: ``path`` like ``.partitions[2].size``, ``message`` a short text."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean X?)" for the known word nearest to ``word``, or an empty text."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {found[0]}?)" if found else ""


class Problems:
    """The problems found so far; ``add`` never raises, so that reading goes on."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, path: str, message: str) -> None:
        problem = Problem(path or ".", message)
        if problem not in self._found:
            self._found.append(problem)

    @property
    def found(self) -> tuple[Problem, ...]:
        return tuple(self._found)


class Node:
    """One mapping of a document, with its path; every getter notes what is wrong and returns a
    harmless value of the right type."""

    def __init__(self, value: Any, path: str, known: Sequence[str], problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self._values: Mapping[str, Any] = {}
        if not isinstance(value, Mapping):
            problems.add(path, f"a mapping is needed, not {_kind(value)}")
            return
        self._values = value
        for key in value:
            if key not in known:
                name = key if isinstance(key, str) and key.isprintable() else ascii(key)
                problems.add(f"{path}.{name}", f"unknown key{nearest(str(key), known)}")

    def has(self, key: str) -> bool:
        return self._values.get(key) is not None

    def raw(self, key: str, *, required: bool = True) -> Any:
        if not self.has(key):
            if required and self._values is not None:
                self.problems.add(f"{self.path}.{key}", "is missing")
            return None
        return self._values[key]

    def text(self, key: str, default: str | None = None) -> str:
        value = self.raw(key, required=default is None)
        if value is None:
            return default or ""
        if not isinstance(value, str):
            self.problems.add(f"{self.path}.{key}", f"a text is needed, not {_kind(value)}")
            return default or ""
        wrong = shape.printable(value) or shape.line(value) or ("" if value or default == "" else "must not be empty")
        if wrong:
            self.problems.add(f"{self.path}.{key}", wrong)
            return default or ""
        return value

    def choice(self, key: str, known: Collection[str], default: str | None = None) -> str:
        value = self.text(key, default)
        if value and value not in known:
            self.problems.add(f"{self.path}.{key}", f"{value!r} is none of {', '.join(known)}{nearest(value, known)}")
            return default or ""
        return value

    def items(self, key: str, *, required: bool = True) -> list[tuple[str, Any]]:
        """Return the items of a list, each with its path."""
        value = self.raw(key, required=required)
        if value is None:
            return []
        if isinstance(value, str) or not isinstance(value, Sequence):
            self.problems.add(f"{self.path}.{key}", f"a list is needed, not {_kind(value)}")
            return []
        return [(f"{self.path}.{key}[{index}]", item) for index, item in enumerate(value)]

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self.raw(key)
        if value is not None and not isinstance(value, Mapping):
            self.problems.add(f"{self.path}.{key}", f"a mapping is needed, not {_kind(value)}")
            return {}
        return value or {}


def _kind(value: Any) -> str:
    names = {"str": "a text", "int": "a number", "float": "a number", "bool": "a boolean", "list": "a list"}
    if value is None:
        return "nothing"
    return names.get(type(value).__name__, "a mapping" if isinstance(value, Mapping) else "this")
