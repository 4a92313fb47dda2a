# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The search: inputs that reach new code are kept and changed further.

``guided`` is the coverage-guided one; ``described`` lets hypothesis make documents of its own, and shrink those
that fail. Both are repeated by their seed.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from .coverage import Coverage
from .mutate import Mutator, Place, path_text, places, replaced
from .targets import Target, check

#: More failures than this are not told apart any more.
MOST_FAILURES = 20
#: Every so many inputs one is a whole document with one field of a wrong type.
_WRONG_TYPE_EVERY = 20


@dataclass
class Record:
    """What became of the inputs of one target; ``refusals`` counts by fault, ``places`` is code reached."""

    target: str
    engine: str
    seed: int
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    places: int = 0
    seconds: float = 0.0
    failures: list[dict[str, str]] = field(default_factory=list)

    def line(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def guided(target: Target, inputs: int, number: int) -> Record:
    """Run ``inputs`` changed documents, following code that was not reached before."""
    random = Random(f"{target.name}/{number}")
    mutator, coverage = Mutator(random), Coverage()
    record = Record(target.name, "coverage-guided", number)
    corpus, refused = target.seeds(), []
    counts: Counter[str] = Counter()
    started = time.monotonic()
    for one in target.seeds():
        if _try(target, one, coverage, counts, record) != "accepted":
            record.failures.append({"error": "a seed is refused", "input": _shown(one)})
    while record.inputs < inputs and len(record.failures) < MOST_FAILURES:
        if not target.raw and record.inputs % _WRONG_TYPE_EVERY == 0:
            _wrong_type(target, mutator, counts, record)
            continue
        # Mostly from what is accepted: a change of a document that is refused anyway seldom gets any further.
        chosen = refused if refused and random.random() < 0.2 else corpus
        made = mutator.raw(chosen) if target.raw else mutator.document(chosen)
        kept = made if target.raw else json.dumps(made, default=str, skipkeys=True)
        outcome = _try(target, made, coverage, counts, record)
        if coverage.fresh and len(kept) < 40_000:
            (corpus if outcome == "accepted" else refused).append(made if target.raw else json.loads(kept))
    record.places = len(coverage.seen)
    return _finished(record, counts, started)


def described(target: Target, inputs: int, number: int) -> Record:
    """Let hypothesis make ``inputs`` documents: seeds with one to four places replaced by anything."""
    record = Record(target.name, "hypothesis", number)
    counts: Counter[str] = Counter()
    started = time.monotonic()

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs_of(target))
    def run(made: Any) -> None:
        record.inputs += 1
        counts[check(target, made)] += 1

    try:
        run()
    except Exception as error:
        record.failures.append({"error": f"{type(error).__name__}: {error}"[:2000], "input": "see the error"})
    return _finished(record, counts, started)


def inputs_of(target: Target) -> st.SearchStrategy[Any]:
    """Return hypothesis' strategy for a target: anything at all, or a seed with changes."""
    if target.raw:
        return st.one_of(st.binary(max_size=1200), _changed_bytes(target.seeds()))
    return st.one_of(_ANYTHING, _changed(target.seeds()))


_PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=40), st.from_regex(r"[a-z0-9:./ -]{1,20}")
)
_ANYTHING = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def _changed(draw: Any, seeds: list[Any]) -> Any:
    document = json.loads(json.dumps(draw(st.sampled_from(seeds))))
    for _number in range(draw(st.integers(1, 4))):
        document = replaced(document, draw(st.sampled_from(places(document))), draw(_ANYTHING))
        if not isinstance(document, (dict, list)):
            break
    return document


@st.composite
def _changed_bytes(draw: Any, seeds: list[bytes]) -> bytes:
    data = bytearray(draw(st.sampled_from(seeds)))
    for _number in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        data[start : start + draw(st.integers(0, 20))] = draw(st.binary(max_size=20))
    return bytes(data)


def _try(target: Target, made: Any, coverage: Coverage, counts: Counter[str], record: Record) -> str:
    record.inputs += 1
    shown = made if target.raw else json.dumps(made, default=str, skipkeys=True)
    try:
        with coverage.watching():
            outcome = check(target, made)
    except Exception as error:
        outcome = "failed"
        record.failures.append({"error": f"{type(error).__name__}: {error}"[:2000], "input": _shown(shown)})
    counts[outcome] += 1
    return outcome


def _wrong_type(target: Target, mutator: Mutator, counts: Counter[str], record: Record) -> None:
    """A mapping where a text or number belongs: the fault must name that very place."""
    record.inputs += 1
    made, place = mutator.wrong_type(mutator.random.choice(target.seeds()))
    try:
        target.run(made)
    except Fault as fault:
        counts[fault.id] += 1
        if not names_place(fault.what, place):
            record.failures.append({"error": f"{path_text(place)} is not named: {fault.what[:500]}", "input": ""})
    except Exception as error:
        text = f"{type(error).__name__}: {error}"[:2000]
        record.failures.append({"error": text, "input": f"{path_text(place)} replaced by a mapping"})
    else:
        counts["accepted"] += 1


def names_place(text: str, place: Place) -> bool:
    """Tell whether a fault names a place, something inside, or something that it is a part of."""
    return path_text(place) + "." in text or any(
        path_text(place[:length]) + ":" in text for length in range(len(place), 0, -1)
    )


def _finished(record: Record, counts: Counter[str], started: float) -> Record:
    record.accepted = counts.pop("accepted", 0)
    counts.pop("failed", None)
    record.refusals = dict(counts)
    record.refused = sum(counts.values())
    record.seconds = round(time.monotonic() - started, 1)
    return record


def _shown(made: Any) -> str:
    return (repr(made) if isinstance(made, bytes) else str(made))[:20000]
