# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes to documents and to bytes, decided by a random generator alone, so that a seed repeats them."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any, Union

Place = tuple[Union[str, int], ...]

#: Values that programs stumble over: limits of numbers, empty things, odd text, wrong types.
INTERESTING: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 511, 512, 513, 4095, 4096, 1 << 20, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 63),
    *(1 << 64, -(1 << 63), 10**40, 0.0, -0.5, 1e308, float("nan"), float("inf")),
    *(
        "",
        " ",
        "\n",
        "\0",
        "a",
        "r",
        "/",
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "%s",
        "{0}",
        "{x!r}",
        "$(id)",
        "`id`",
    ),
    *("'", '"', "\\", "-", "--help", "a b", "a\nb", "a:b", "0", "-1", "1e9", "0x10", "100%", "101%", "rest", "512 MiB"),
    *("1 TiB", "0 B", "99999999999999999999 TiB", "9" * 400 + " B", "\u0000x", "\ud800", "\udc80", "\u202e", "\u0661"),
    *(
        "\u00b2",
        "ä" * 40,
        "x" * 300,
        "x" * 5000,
        "[" * 3000,
        "NaN",
        "null",
        "true",
        "good",
        "trying",
        "bad",
        "empty",
        "commit",
    ),
    *("convert", "lvm", "ext4", "xfs", "swap", "vfat", "10.0.0.1/33", "::/129", "10.0.0.1/24", "fe80::1%eth0"),
    *("00:00:00:00:00:00", "====", "QUJD", "QUJ", [], [[]], [None], {}, {"": ""}, [0], ["a"], {"a": 1}, [{}]),
)


def places(document: Any, base: Place = ()) -> list[Place]:
    """Return the path of every value inside a document, the document itself first."""
    found = [base]
    if isinstance(document, dict):
        for key, value in document.items():
            found += places(value, (*base, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            found += places(value, (*base, index))
    return found


def path_text(place: Place) -> str:
    """Return a path as faults name it: ``.partitions[2].size``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place) or "."


def value_at(document: Any, place: Place) -> Any:
    for step in place:
        document = document[step]
    return document


def replaced(document: Any, place: Place, value: Any) -> Any:
    """Return the document with the value of one place replaced; the document given may be changed."""
    if not place:
        return value
    value_at(document, place[:-1])[place[-1]] = value
    return document


class Mutator:
    """Makes a new document from one of a corpus."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def document(self, corpus: list[Any]) -> Any:
        """Return a document of the corpus with one to six changes."""
        document = copy.deepcopy(self.random.choice(corpus))
        for _number in range(self.random.choice((1, 1, 1, 1, 2, 2, 3, 5))):
            document = self._changed(document, corpus)
        return document

    def wrong_type(self, document: Any) -> tuple[Any, Place]:
        """Return a copy in which one leaf has a type that nothing expects there, and its place."""
        document = copy.deepcopy(document)
        leaves = [
            place for place in places(document) if place and not isinstance(value_at(document, place), (dict, list))
        ]
        place = self.random.choice(leaves)
        return replaced(document, place, {"no": ["such", "field"]}), place

    def raw(self, corpus: list[bytes]) -> bytes:
        """Return bytes of the corpus with one to eight changes."""
        data = bytearray(self.random.choice(corpus))
        for _number in range(self.random.randint(1, 8)):
            self._bytes_changed(data, corpus)
        return bytes(data)

    def _changed(self, document: Any, corpus: list[Any]) -> Any:
        place = self.random.choice(places(document))
        old = value_at(document, place)
        kind = self.random.randrange(10)
        if kind == 0 and place:
            owner = value_at(document, place[:-1])
            del owner[place[-1]]
            return document
        if kind == 1 and isinstance(old, list) and old:
            old.insert(self.random.randrange(len(old) + 1), copy.deepcopy(self.random.choice(old)))
            return document
        if kind == 2 and isinstance(old, dict):
            old[self.random.choice(("x", "id", "", "on", "a.b", "ü", "\ud800", "true"))] = self._value()
            return document
        if kind == 3:
            return replaced(document, place, self._splice(corpus))
        if kind == 4 and isinstance(old, str):
            return replaced(document, place, self._text(old))
        if kind == 5 and isinstance(old, int) and not isinstance(old, bool):
            return replaced(document, place, self._number(old))
        if kind == 6 and isinstance(old, list):
            self.random.shuffle(old)
            return document
        if kind == 7 and isinstance(old, dict) and old:
            # Keys that are no text: YAML has them, JSON never.
            old[self.random.choice((1, None, True, 2.5, ("a",)))] = self._value()
            return document
        return replaced(document, place, self._value())

    def _value(self) -> Any:
        return copy.deepcopy(self.random.choice(INTERESTING))

    def _splice(self, corpus: list[Any]) -> Any:
        other = self.random.choice(corpus)
        return copy.deepcopy(value_at(other, self.random.choice(places(other))))

    def _text(self, old: str) -> str:
        cut = self.random.randrange(len(old) + 1)
        odd = self.random.choice([value for value in INTERESTING if isinstance(value, str)])
        return self.random.choice((old[:cut], old + odd, old[:cut] + odd + old[cut:], old.upper(), old * 2, old[::-1]))

    def _number(self, old: int) -> int:
        return self.random.choice(
            (old + 1, old - 1, -old, old * 2, old // 2, old << 32, old ^ (1 << self.random.randrange(64)))
        )

    def _bytes_changed(self, data: bytearray, corpus: list[bytes]) -> None:
        position = self.random.randrange(len(data) + 1)
        kind = self.random.randrange(7)
        if kind == 0 and position < len(data):
            data[position] ^= 1 << self.random.randrange(8)
        elif kind == 1:
            del data[position : position + self.random.choice((1, 2, 8, 64, len(data)))]
        elif kind == 2:
            data[position:position] = self.random.randbytes(self.random.choice((1, 2, 8)))
        elif kind == 3:
            odd = self.random.choice(INTERESTING)
            text = odd if isinstance(odd, str) else json.dumps(odd)
            data[position:position] = text.encode("utf-8", "surrogatepass")
        elif kind == 4:
            other = self.random.choice(corpus)
            start = self.random.randrange(len(other) + 1)
            data[position : position + 16] = other[start : start + self.random.choice((4, 16, 256))]
        elif kind == 5:
            end = position + self.random.choice((1, 4, 32))
            data[position:end] = data[position:end] * self.random.choice((2, 3, 40))
        else:
            data[position : position + 1] = self.random.choice((b"\n", b"=", b"#", b"\0", b"{", b"[", b"\xff", b"9"))
