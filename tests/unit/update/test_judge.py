# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a bundle may be installed, with every finding, and the plan of the update."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults import update as kinds
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document
from ansible_collections.dualroot.migrate.plugins.module_utils.update import judge
from ansible_collections.dualroot.migrate.plugins.module_utils.update.carry import Carried

from tests.support.layouts import RUN_ID
from tests.unit.update import scene

GIB = 1 << 30
SAME = {**scene.host().installed, "payload_sha256": "d" * 64, "version": "13.1"}


def ids(result: dict[str, Any]) -> list[str]:
    return [one["id"] for one in result["findings"]]


def test_a_host_without_problems_gets_its_plan() -> None:
    result = scene.judged()
    assert (result["verdict"], result["findings"], result["refused"]) == ("proceed", [], None)
    plan = result["plan"]
    assert document.load(plan) == plan
    assert (plan["mode"], plan["slot"], plan["from_slot"], plan["from_run_id"]) == ("update", "b", "a", RUN_ID)
    assert plan["from_bundle"] == {"name": "gateway", "version": "13.0"}
    assert plan["kernel_arguments"] == ["console=ttyS0"]
    assert plan["layout"] == scene.host().layout.to_document()  # type: ignore[union-attr]
    assert plan["lifeboat"] == {"used": False}
    assert scene.CAPTURE["machine_id"] not in str(plan)
    assert result["lines"][:2] == ["slot a runs gateway 13.0", "slot b (empty, nothing known) gets gateway 13.1"]
    assert result["target"]["bytes"] > GIB


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"state": scene.state("trying")}, "update.running_not_good"),
        ({"state": scene.state("bad", "good")}, "update.running_not_good"),
        ({"records": {"b": scene.record("b", kind="old")}}, "update.not_committed"),
        ({"users": ("/dev/dm-3 mounted at /mnt",)}, "update.target_busy"),
        ({"layout": None, "layout_problem": "none"}, "update.no_layout"),
        ({"differences": (".disk_bytes: wanted 1, found 2",)}, "update.layout_differs"),
        ({"missing": ("zstd",)}, "update.program_missing"),
        ({"memory_available": 150 << 20}, "update.memory"),
        ({"dispatch_free": 4 << 20}, "update.dispatch_full"),
        ({"architecture": "aarch64"}, "update.architecture"),
        ({"installed": {**SAME, "version": "13.10", "payload_sha256": ""}}, "update.downgrade"),
    ],
)
def test_what_refuses(change: dict[str, Any], found: str) -> None:
    result = scene.judged(scene.host(**change))
    assert (result["verdict"], result["plan"]) == ("refuse", None)
    assert ids(result) == [found]
    assert (
        result["refused"]["id"] == "preflight.refused" and found in result["refused"]["why"] + result["refused"]["what"]
    )


def test_all_findings_come_at_once() -> None:
    at = scene.host(state=scene.state("bad"), missing=("tar", "zstd"), memory_available=0, users=("x",))
    assert len(ids(scene.judged(at))) == 4


@pytest.mark.parametrize(
    ("change", "wishes", "found", "severity"),
    [
        ({"installed": {**SAME, "name": "other", "payload_sha256": ""}}, {}, "update.other_bundle", "info"),
        ({"installed": {**SAME, "payload_sha256": ""}}, {}, "update.same_version", "warn"),
        ({}, {"bundle_layout": "dual"}, "update.layout_kept", "info"),
        ({}, {"signed_by": ""}, "update.unsigned", "warn"),
    ],
)
def test_what_is_only_told(change: dict[str, Any], wishes: dict[str, Any], found: str, severity: str) -> None:
    result = scene.judged(scene.host(**change), **wishes)
    assert result["verdict"] == "proceed"
    assert [(one["id"], one["severity"]) for one in result["findings"]] == [(found, severity)]


def test_a_downgrade_that_is_allowed_is_no_finding() -> None:
    at = scene.host(installed={**SAME, "version": "14", "payload_sha256": ""})
    assert scene.judged(at, allow_downgrade=True)["verdict"] == "proceed"


def test_what_runs_and_is_good_is_not_installed_again() -> None:
    result = scene.judged(scene.host(installed=SAME))
    assert (result["verdict"], result["plan"], result["refused"]) == ("same", None, None)


def test_what_runs_on_trial_is_not_taken_for_good() -> None:
    at = scene.host(installed=SAME, state=scene.state("trying", "good", tries=2))
    assert scene.judged(at)["verdict"] == "refuse"


def test_what_the_other_slot_holds_is_installed_anew() -> None:
    # Its configuration is that of the day when it was written.
    at = scene.host(state=scene.state("good", "good"), records={"b": scene.record("b", payload_sha256="d" * 64)})
    assert scene.judged(at)["verdict"] == "proceed"


def test_carried_paths_take_room() -> None:
    assert ids(scene.judged(paths=Carried(("/srv",), 100 * GIB))) == ["update.slot_too_small"]
    refused = judge.find(kinds.PATH_MISSING, path="/srv/x")
    assert ids(scene.judged(paths=Carried((), 0, (refused,)))) == ["update.path_missing"]


def test_the_operators_arguments_come_first() -> None:
    plan = scene.judged(kernel_arguments=("console=tty0",))["plan"]
    assert plan["kernel_arguments"] == ["console=tty0"]


def test_the_account_of_the_run_must_be_able_to_log_in() -> None:
    found = judge.of_capture(scene.CAPTURE, [], scene.options(login_user="nobody"))
    assert [one.id for one in found] == ["preflight.login_user_missing"]
    assert judge.of_capture(scene.CAPTURE, [], scene.options()) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"mode": "convert"}, ".attended: missing"),
        ({"from_slot": "c"}, ".from_slot"),
        ({"from_run_id": "../x"}, ".from_run_id"),
        ({"lifeboat": {"used": False, "wish": "none"}}, ".lifeboat.wish: unknown"),
        ({"payload": {"file": "/etc/passwd"}}, ".payload"),
    ],
)
def test_a_plan_of_another_shape_is_refused(change: dict[str, Any], problem: str) -> None:
    plan = scene.judged()["plan"]
    changed = {**plan, **change}
    if "payload" in change:
        changed["payload"] = {**plan["payload"], **change["payload"]}
    with pytest.raises(Fault) as caught:
        document.freeze({name: value for name, value in changed.items() if name != "digest"})
    assert problem in caught.value.what


def test_every_kind_says_how_bad_it_is() -> None:
    assert not set(kinds.WARNINGS) & set(kinds.NOTES)
    assert all(kind.phase == "update" and kind.id.startswith("update.") for kind in kinds.KINDS)
