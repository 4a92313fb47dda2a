# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shape of a document, declared: every problem is found, each with its path.

A shape is a ``dict`` (a mapping; a key that ends with ``?`` may be missing), a list of one shape (a
list of that), ``Each`` (a mapping of any keys), ``Maybe`` (or nothing), or a function that returns
what is wrong with a value, ``""`` for nothing. Values are never quoted: they may be secrets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Rule = Callable[[Any], str]


@dataclass(frozen=True)
class Each:
    """A mapping of texts to values of one shape; ``name`` is the rule for its keys."""

    value: Any
    name: Rule | None = None


@dataclass(frozen=True)
class Maybe:
    """A value of the shape, or nothing (``null``)."""

    value: Any


def problems(shape: Any, value: Any, path: str = "") -> list[str]:
    """Return every problem of ``value``, as ``.path[0]: what is wrong``; unknown keys are none."""
    if isinstance(shape, Maybe):
        return [] if value is None else problems(shape.value, value, path)
    if isinstance(shape, (dict, Each)):
        if not isinstance(value, Mapping):
            return [f"{path or '.'}: a mapping is needed"]
        return _each(shape, value, path) if isinstance(shape, Each) else _fields(shape, value, path)
    if isinstance(shape, list):
        if not isinstance(value, (list, tuple)):
            return [f"{path or '.'}: a list is needed"]
        return [one for index, item in enumerate(value) for one in problems(shape[0], item, f"{path}[{index}]")]
    wrong = shape(value)
    return [f"{path or '.'}: {wrong}"] if wrong else []


def parse(raw: bytes | str) -> Any:
    """Return a JSON document; ``ValueError`` also for what only Python takes for JSON.

    That is ``NaN`` and ``Infinity``, and a nesting that would end in a ``RecursionError``. The text of
    the error may quote the document.
    """
    try:
        return json.loads(raw, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def foreign(value: Any, path: str = "") -> list[str]:
    """Return the places that JSON cannot say: keys that are no texts, ``NaN``, values of other kinds."""
    if isinstance(value, Mapping):
        odd = [f"{path}{_step(key)}: as a key, a text is needed" for key in value if not isinstance(key, str)]
        inner = [(f"{path}{_step(key)}", item) for key, item in value.items() if isinstance(key, str)]
        return odd + [one for where, item in inner for one in foreign(item, where)]
    if isinstance(value, (list, tuple)):
        return [one for index, item in enumerate(value) for one in foreign(item, f"{path}[{index}]")]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{path or '.'}: a number is needed"]
    known = value is None or isinstance(value, (str, bool, int, float))
    return [] if known else [f"{path or '.'}: holds what no document can hold"]


def boolean(value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false is needed"


def text(value: Any) -> str:
    """Any text that a file can hold: without the character zero and without half characters."""
    if not isinstance(value, str):
        return "a text is needed"
    try:
        # Bytes of a file that were no UTF-8 come as surrogates of this handler (PEP 383).
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return "holds half a character"
    return "holds the character zero" if "\0" in value else ""


def printable(value: Any) -> str:
    """As ``text``, of whole characters only: what is shown, and never names a file of an old system."""
    return text(value) or ("" if value.isascii() or _is_whole(value) else "holds half a character")


def line(value: Any) -> str:
    """A text that stays on its line of a file."""
    return text(value) or ("must be one line" if value.splitlines() not in ([], [value]) else "")


def word(value: Any) -> str:
    """A line without blanks; it may be empty."""
    return line(value) or ("must be one word" if value.split() not in ([], [value]) else "")


def name(value: Any) -> str:
    """A word that is a field of its own in files like passwd(5), and a name of a file."""
    if word(value):
        return word(value)
    if not value or value in (".", ".."):
        return "must be a name"
    return "must hold no colon and no slash" if set(value) & set(":/") else ""


def field(value: Any) -> str:
    """What stands between the colons of passwd(5)."""
    return line(value) or ("must hold no colon" if ":" in value else "")


def path(value: Any) -> str:
    """An absolute path that does not climb."""
    if text(value):
        return text(value)
    if not value.startswith("/") or ".." in value.split("/"):
        return "must be an absolute path without .."
    return ""


def whole(lowest: int, highest: int) -> Rule:
    """Return the rule for a whole number of a range."""

    def check(value: Any) -> str:
        if not isinstance(value, int) or isinstance(value, bool):
            return "a whole number is needed"
        return "" if lowest <= value <= highest else f"must lie between {lowest} and {highest}"

    return check


def one_of(*known: str) -> Rule:
    """Return the rule for a choice of words."""

    def check(value: Any) -> str:
        return "" if isinstance(value, str) and value in known else f"must be one of {', '.join(known)}"

    return check


def accepted_by(parser: Callable[[str], object], what: str) -> Rule:
    """Return the rule for a line that ``parser`` takes; it raises ``ValueError`` for others."""

    def check(value: Any) -> str:
        if line(value):
            return line(value)
        try:
            parser(value)
        except ValueError:
            return f"must be {what}"
        return ""

    return check


def either(first: Rule, second: Rule) -> Rule:
    """Return the rule for a value that one of two takes; the second one names the problem."""
    return lambda value: "" if not first(value) else second(value)


def empty(value: Any) -> str:
    return "" if value == "" else "must be empty"


def _step(key: Any) -> str:
    """Return a key as a step of a path; what would not be seen as one is a question mark."""
    name = str(key)
    return f".{name}" if name.isprintable() and name and not set(name) & set(" ;") else ".?"


def _is_whole(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _each(shape: Each, value: Mapping[Any, Any], path: str) -> list[str]:
    found = []
    for key, item in value.items():
        where = f"{path}{_step(key)}"
        wrong = (shape.name or text)(key)
        found += [f"{where}: as a key, {wrong}"] if wrong else problems(shape.value, item, where)
    return found


def _fields(shape: Mapping[str, Any], value: Mapping[Any, Any], path: str) -> list[str]:
    found = []
    for key, inner in shape.items():
        known = key.rstrip("?")
        if known in value:
            found += problems(inner, value[known], f"{path}.{known}")
        elif known == key:
            found.append(f"{path}.{known}: is missing")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
