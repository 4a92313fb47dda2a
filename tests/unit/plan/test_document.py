# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan says what is wrong with it, with paths, and notices every change."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedLayout
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document
from ansible_collections.dualroot.migrate.plugins.module_utils.plan.build import build

from . import documents as docs


@pytest.fixture(name="plan")
def _plan() -> dict:
    return build(docs.facts(), docs.manifest(), docs.layout(), docs.options())


def test_what_is_built_loads(plan: dict) -> None:
    assert document.load(copy.deepcopy(plan)) == plan
    assert plan["digest"] == document.digest(plan)
    assert plan["expires"] - plan["created"] == 86400
    assert plan["kernel_arguments"] == ["console=tty0", "console=ttyS0,115200"]
    assert plan["staging"] == {
        "uuid": docs.ROOT_UUID,
        "fstype": "ext4",
        "directory": "/var/lib/dualroot/stage",
        "run_directory": "/var/lib/dualroot/runs/20261120T191500Z-1a2b3c",
    }
    assert ResolvedLayout.from_document(plan["layout"]).name == "small"


def test_the_same_input_gives_the_same_plan(plan: dict) -> None:
    assert build(docs.facts(), docs.manifest(), docs.layout(), docs.options()) == plan


def test_hosts_of_one_run_share_no_ids(plan: dict) -> None:
    other = build(docs.facts(), docs.manifest(), docs.layout(), docs.options(host="gate2"))
    assert other["layout"]["disk_guid"] != plan["layout"]["disk_guid"]


def test_every_problem_is_named_with_its_path(plan: dict) -> None:
    del plan["disk"]["serial"]
    plan["payload"]["size"] = "12"
    plan["kernel_arguments"] = ["a", 1]
    plan["extra"] = True
    with pytest.raises(Fault) as raised:
        document.load(plan)
    assert raised.value.id == "plan.invalid"
    assert raised.value.what.split(": ", 1)[1] == (
        ".payload.size: int is needed, not str; .disk.serial: missing; "
        ".kernel_arguments[1]: str is needed, not int; .extra: unknown"
    )


@pytest.mark.parametrize("text", [None, [], "plan", 3])
def test_anything_else_is_no_plan(text: object) -> None:
    with pytest.raises(Fault) as raised:
        document.load(text)
    assert raised.value.id == "plan.invalid"


def test_values_outside_of_the_choices(plan: dict) -> None:
    plan["slot"] = "c"
    with pytest.raises(Fault, match="slot: 'c' is not one of a, b"):
        document.load(plan)


def test_a_changed_plan_is_refused(plan: dict) -> None:
    plan["layout"]["partitions"][0]["start_lba"] += 1
    with pytest.raises(Fault) as raised:
        document.load(plan)
    assert raised.value.id == "plan.digest_mismatch"


def test_a_plan_does_not_live_forever(plan: dict) -> None:
    document.check_expiry(plan, plan["created"] + 60)
    document.check_expiry(plan, plan["created"] - 3600)
    for now in (plan["expires"] + 1, plan["created"] - 2 * 86400):
        with pytest.raises(Fault) as raised:
            document.check_expiry(plan, now)
        assert raised.value.id == "plan.expired"


def test_options_are_checked_all_at_once() -> None:
    with pytest.raises(Fault) as raised:
        build(docs.facts(), docs.manifest(), docs.layout(), {"mode": "x", "go_timeout": "soon", "wish": 1})
    assert raised.value.what.split(": ", 1)[1] == (
        "dualroot_run_id: missing; dualroot_host: missing; dualroot_now: missing; "
        "dualroot_go_timeout: invalid literal for int() with base 10: 'soon'; "
        "dualroot_wish: unknown option; dualroot_mode: 'x' is not one of convert, rehearse"
    )
    assert raised.value.id == "plan.options_invalid"


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("lifeboat", "requried", "dualroot_lifeboat"),
        ("lifeboat", False, "dualroot_lifeboat"),
        ("keep_old", "yes", "dualroot_keep_old"),
        ("go_timeout", "0", "dualroot_go_timeout"),
        ("lifetime", -1, "dualroot_plan_lifetime"),
    ],
)
def test_a_misspelt_wish_is_never_ignored(name: str, value: object, named: str) -> None:
    with pytest.raises(Fault, match=f": {named}: ") as raised:
        build(docs.facts(), docs.manifest(), docs.layout(), docs.options(**{name: value}))
    assert raised.value.id == "plan.options_invalid"


def test_texts_of_surveys_become_their_types() -> None:
    plan = build(docs.facts(), docs.manifest(), docs.layout(), docs.options(attended="no", go_timeout="30", disk=""))
    assert plan["attended"] is False
    assert plan["go_timeout"] == 30


def test_health_commands_travel_with_the_plan() -> None:
    commands = ["systemctl is-active db", "test -e /srv/x"]
    options = docs.options(health_commands=commands, give_up_unhealthy="false")
    plan = build(docs.facts(), docs.manifest(), docs.layout(), options)
    assert plan["health"] == {"commands": commands, "decisive": False}
    assert build(docs.facts(), docs.manifest(), docs.layout(), docs.options())["health"]["decisive"] is True
