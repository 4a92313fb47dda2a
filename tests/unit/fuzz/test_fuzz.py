# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The quick share of the fuzzing; ``python -m tests.fuzz`` does a hundred thousand inputs of each kind.

A document that was found to break something stays in ``FOUND``, by the target that it broke.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils import shape
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout import loader

from tests.fuzz import search, targets
from tests.fuzz.mutate import replaced

#: Inputs of each target; a plan and a capture are large, and cost ten times a state file.
GUIDED = {"layout": 1000, "resolved": 700, "manifest": 2000, "plan": 400, "capture": 600}
OTHERS, DESCRIBED, SEED = 2000, 40, 7

#: Target, place, and the value that once ended in a traceback, or in a fault without a path.
FOUND: tuple[tuple[str, tuple[Any, ...], Any], ...] = (
    ("layout", ("partitions", 0, "name"), "\ud800"),
    ("layout", ("file_systems", 0, "label"), "\udc80"),
    ("layout", ("partitions", 2, "size"), "9" * 400 + " TiB"),
    ("layout", ("partitions", 2, "size"), "\u00b2"),
    ("layout", ("partitions", 2, "minimum"), 10**400),
    ("layout", ("partitions", 0), {"\ud800": 1}),
    ("layout", ("name",), ""),
    ("layout", ("file_systems", 0, "on"), ""),
    ("layout", ("file_systems", 1, "label"), "--help"),
    ("layout", ("volume_groups", 0, "volumes", 0, "name"), ""),
    ("resolved", ("slots",), {1: {"root": "root_a", "at": "convert"}}),
    ("resolved", ("dispatch",), "nowhere"),
    ("resolved", ("slots", "a", "root"), "nowhere"),
    ("resolved", ("partitions", 0), {1: 1, "a": 1}),
    ("manifest", ("layouts",), {1: None, "va": None}),
    ("manifest", ("payload", "file"), "\ud800"),
    ("plan", ("predicted",), {"seconds": float("nan")}),
    ("plan", ("predicted",), {1: 1, "a": 1}),
    ("plan", ("created",), 10**30),
    ("plan", ("run_id",), "../../etc"),
    ("capture", (), 1),
    ("capture", ("accounts", "users", 0, "aging"), []),
    ("capture", ("accounts", "users", 0, "name"), "root:x\nevil"),
    ("capture", ("network", "interfaces", 0, "addresses"), [None]),
    ("capture", ("ssh", "host_keys"), [{"path": "/etc/ssh/x", "mode": 384, "content_b64": "="}]),
    ("capture", ("locale",), {"LANG\nX": "de"}),
)


@pytest.mark.parametrize("name", list(targets.TARGETS))
def test_by_coverage(name):
    inputs = GUIDED.get(name, OTHERS)
    record = search.guided(targets.TARGETS[name], inputs, SEED)
    assert record.failures == []
    assert record.accepted > 5 and (record.refused > inputs / 5 or not targets.TARGETS[name].faults)


@pytest.mark.parametrize("name", list(targets.TARGETS))
def test_by_hypothesis(name):
    record = search.described(targets.TARGETS[name], DESCRIBED, SEED)
    assert record.failures == []


@pytest.mark.parametrize(("name", "place", "value"), FOUND)
def test_what_was_found_is_refused(name, place, value):
    target = targets.TARGETS[name]
    assert targets.check(target, replaced(target.seeds()[0], place, value)) != "accepted"


def test_the_same_seed_gives_the_same_inputs():
    first, second = (search.guided(targets.TARGETS["state"], 200, 3) for _time in range(2))
    assert (first.accepted, first.refusals, first.places) == (second.accepted, second.refusals, second.places)


def test_a_broken_property_is_noticed():
    """The fault of this test: a reader that ends in a traceback, and one whose refusal has no path."""

    def breaks(given):
        if given["version"] != 1:
            raise KeyError("version")
        if given["name"] != "va":
            raise Fault(loader.kinds.INVALID, count=1, problems="it is wrong somewhere")
        return given

    target = targets.Target("broken", lambda: [{"name": "va", "version": 1}], breaks, frozenset({"layout.invalid"}))
    errors = " ".join(failure["error"] for failure in search.guided(target, 300, 1).failures)
    assert "KeyError" in errors and "names no path" in errors


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"NaN", b'{"a": Infinity}', b"\xff", b""])
def test_what_only_python_takes_for_json(raw):
    with pytest.raises(ValueError):
        shape.parse(raw)


def test_problems_of_a_shape_have_their_paths():
    wanted = {
        "name": shape.name,
        "mode?": shape.whole(0, 7),
        "list": [shape.Maybe(shape.word)],
        "map?": shape.Each(shape.line),
    }
    given = {"name": "a/b", "mode": 8, "list": [None, "a", "b c"], "map": {"k": 1, 2: ""}}
    assert shape.problems(wanted, given) == [
        ".name: must hold no colon and no slash",
        ".mode: must lie between 0 and 7",
        ".list[2]: must be one word",
        ".map.k: a text is needed",
        ".map.2: as a key, a text is needed",
    ]
    assert shape.problems(wanted, {"name": "a"}) == [".list: is missing"]
    assert shape.problems(wanted, json.loads("[]")) == [".: a mapping is needed"]
