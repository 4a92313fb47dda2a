# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Frozen dataclasses to JSON documents and back, strictly: none unknown, none missing but what has a default.

A document that an earlier version wrote (a host keeps its layout for years) lacks what came later.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Model = TypeVar("Model")


class ShapeError(ValueError):
    """A document is not of the wanted shape; the text starts with the path of the place."""


def to_document(value: Any) -> Any:
    """Return ``value`` (dataclasses, tuples, mappings, plain values) as what JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_document(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_document(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_document(item) for item in value]
    return value


def from_document(model: type[Model], document: Any, path: str = "") -> Model:
    """Return the dataclass ``model`` that ``document`` describes; raises ``ShapeError``."""
    if not isinstance(document, Mapping):
        raise ShapeError(f"{path or '.'}: a mapping is needed")
    hints = get_type_hints(model)
    unknown = sorted(map(ascii, set(document) - set(hints)))
    missing = sorted(_needed(model) - set(document))
    if unknown or missing:
        raise ShapeError(f"{path or '.'}: keys missing: {missing}, unknown: [{', '.join(unknown)}]")
    given = {name: hint for name, hint in hints.items() if name in document}
    return model(**{name: _decode(hint, document[name], f"{path}.{name}") for name, hint in given.items()})


def _needed(model: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(model) if field.default is dataclasses.MISSING}


def _decode(hint: Any, value: Any, path: str) -> Any:
    origin = get_origin(hint)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ShapeError(f"{path}: a list is needed")
        inner = get_args(hint)[0]
        return tuple(_decode(inner, item, f"{path}[{index}]") for index, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ShapeError(f"{path}: a mapping is needed")
        inner = get_args(hint)[1]
        return {key: _decode(inner, item, f"{path}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_document(hint, value, path)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ShapeError(f"{path}: {hint.__name__} is needed, not {type(value).__name__}")
    return value
