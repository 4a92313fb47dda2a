# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The values of options, brought to the types of their defaults.

Ansible hands over strings and empty strings (surveys, extra variables); a value that is none of its type is named
with the variable that an operator knows it by.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

_YES = frozenset({"true", "yes", "on", "1", "y", "t"})
_NO = frozenset({"false", "no", "off", "0", "n", "f"})


def variable_of(name: str) -> str:
    """Return the name by which an operator knows an option."""
    return f"dualroot_{'plan_lifetime' if name == 'lifetime' else name}"


def read(
    document: Mapping[str, Any],
    example: Any,
    required: Collection[str],
    problems: list[str],
) -> dict[str, Any]:
    """Return the values of ``document`` by name; what is wrong goes to ``problems``.

    ``example`` is an instance of the options' dataclass whose values are the defaults, and ``None`` where a mapping
    is wanted. Empty values count as not given.
    """
    defaults = {one.name: getattr(example, one.name) for one in fields(example)}
    values: dict[str, Any] = {}
    for name, default in defaults.items():
        value = document.get(name)
        if value is None or value in ("", []):
            if name in required:
                problems.append(f"{variable_of(name)}: missing")
            continue
        try:
            values[name] = _cast(value, default)
        except (TypeError, ValueError) as error:
            problems.append(f"{variable_of(name)}: {error}")
    problems += [f"{variable_of(name)}: unknown option" for name in document if name not in defaults]
    return values


def _cast(value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        text = str(value).strip().lower()
        if text in _YES or text in _NO:
            return text in _YES
        raise ValueError(f"neither true nor false: {value!r}")
    if isinstance(default, int):
        return int(value)
    if isinstance(default, tuple):
        return tuple(value.split()) if isinstance(value, str) else tuple(str(item) for item in value)
    if default is None:
        if not isinstance(value, Mapping):
            raise TypeError(f"not a mapping: {value!r}")
        return value
    return str(value).strip()
