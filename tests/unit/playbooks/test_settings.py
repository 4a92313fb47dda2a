# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What playbooks and roles make of their settings: surveys deliver text and empty text."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.catalogue import all_kinds

REPOSITORY = Path(__file__).resolve().parents[3]
BATCHES = [1, "10%", "25%", "100%"]


def load(path):
    """Load YAML as ansible-core does; since 2.19 only trusted text is a template."""
    loader = DataLoader()
    trusted = "trusted_as_template" in inspect.signature(loader.load_from_file).parameters
    return loader.load_from_file(str(REPOSITORY / path), **({"trusted_as_template": True} if trusted else {}))


def render(template, **variables):
    return Templar(DataLoader(), variables=variables).template(template)


@pytest.mark.parametrize(
    ("playbook", "group"),
    [
        ("migrate", "dualroot_to_convert"),
        ("rehearse", "dualroot_to_rehearse"),
        ("update", "dualroot_to_update"),
        ("restore", "dualroot_to_restore"),
    ],
)
@pytest.mark.parametrize("pattern", ["", "all", "a,b", "a:b", "gate", "gate,&gate", "all:!b"])
def test_only_hosts_of_the_group_are_changed(playbook, group, pattern):
    """In ``a,b:&group`` ansible-core binds the group to b only, so a would go on without consent."""
    inventory = InventoryManager(DataLoader(), sources=[])
    for name in ("gate", group, "dualroot_left_alone"):
        inventory.add_group(name)
    for host in ("a", "b"):
        inventory.add_host(host, "gate")
        inventory.add_host(host, "dualroot_left_alone")
    inventory.reconcile_inventory()
    first, second = load(f"playbooks/{playbook}.yml")
    assert inventory.get_hosts(render(first["hosts"], dualroot_hosts=pattern))
    assert inventory.get_hosts(render(second["hosts"], dualroot_hosts=pattern)) == []


@pytest.mark.parametrize(
    "playbook", ["migrate", "rehearse", "preflight", "disarm", "update", "rollback", "status", "restore"]
)
def test_no_hosts_named_means_all(playbook):
    play = load(f"playbooks/{playbook}.yml")[0]
    assert render(play["hosts"]) == "all"
    assert render(play["hosts"], dualroot_hosts="") == "all"


@pytest.mark.parametrize(
    ("said", "batches"),
    [
        ("", BATCHES),
        ("5", [5]),
        (5, [5]),
        ("50%", ["50%"]),
        ("1, 10%", [1, "10%"]),
        ("[1, '10%']", [1, "10%"]),
        ([2, "100%"], [2, "100%"]),
    ],
)
def test_batches(said, batches):
    for playbook in ("migrate", "update", "restore"):
        assert list(render(load(f"playbooks/{playbook}.yml")[1]["serial"], dualroot_batches=said)) == batches


def test_batches_by_default():
    for playbook in ("migrate", "update", "restore"):
        assert list(render(load(f"playbooks/{playbook}.yml")[1]["serial"])) == BATCHES
    assert list(render(load("playbooks/rollback.yml")[0]["serial"])) == ["100%"]


@pytest.mark.parametrize(("playbook", "mode"), [("migrate", "convert"), ("rehearse", "rehearse")])
def test_a_mode_from_outside_is_refused_first(playbook, mode):
    task = load(f"playbooks/{playbook}.yml")[0]["tasks"][0]
    assert task["ansible.builtin.import_tasks"] == "tasks/mode.yml"
    assert task["tags"] == ["always"]
    assert task["vars"] == {"dualroot_mode_here": mode}


def options_of(role):
    specs = yaml.safe_load((REPOSITORY / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))
    return specs["argument_specs"]["main"]["options"]


#: These come from an earlier phase, never from a survey.
PASSED_ON = {"dualroot_plan", "dualroot_facts", "dualroot_manifest"}


@pytest.mark.parametrize(
    "role", ["preflight", "snapshot", "capture", "stage", "convert", "verify", "commit", "update", "rollback", "revive"]
)
def test_empty_text_passes_the_argument_specification(role):
    for name, option in options_of(role).items():
        if name in PASSED_ON or option.get("required"):
            continue
        choices = option.get("choices")
        takes_text = option["type"] in ("str", "raw") and (choices is None or "" in choices)
        assert takes_text or name == "dualroot_mode", f"{role}: {name}"


@pytest.mark.parametrize("role", [path.parent.name for path in sorted((REPOSITORY / "roles").glob("*/meta"))])
def test_defaults_are_those_of_the_argument_specification(role):
    path = REPOSITORY / f"roles/{role}/defaults/main.yml"
    defaults = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    said = {name: option["default"] for name, option in options_of(role).items() if "default" in option}
    required = {name for name, option in options_of(role).items() if option.get("required")}
    assert {name: value for name, value in defaults.items() if name not in required} == said


def records_of(tasks):
    """Yield the fault records that are spelled out in the variables of tasks."""
    for task in tasks:
        yield from (value for value in task.get("vars", {}).values() if isinstance(value, dict) and "how" in value)
        for part in ("block", "rescue", "always"):
            yield from records_of(task.get(part, []))


@pytest.mark.parametrize("name", ["guard", "after_fault", "refused", "slot_fault", "restore_fault"])
def test_the_words_of_playbooks_are_those_of_the_catalogue(name):
    tasks = yaml.safe_load((REPOSITORY / f"playbooks/tasks/{name}.yml").read_text(encoding="utf-8"))
    kinds = {kind.id: kind for kind in all_kinds()}
    records = list(records_of(tasks))
    assert records
    for record in records:
        kind = kinds[record["id"]]
        assert (record["phase"], record["how"]) == (kind.phase, kind.how)


@pytest.mark.parametrize(
    ("said", "words"), [("", []), ("nftables", ["nftables"]), ("vim, nftables tcpdump", ["vim", "nftables", "tcpdump"])]
)
def test_lists_of_the_build_may_be_text(said, words):
    given = load("roles/bundle/vars/main.yml")["bundle_given"]
    for name, template in given.items():
        assert list(render(template, **{f"dualroot_build_{name}": said})) == words
        assert list(render(template, **{f"dualroot_build_{name}": ["a b"]})) == ["a b"]


def facts_of(tasks):
    """Yield every task of a list that sets facts."""
    for task in tasks:
        if "ansible.builtin.set_fact" in task:
            yield task
        for part in ("block", "rescue", "always"):
            yield from facts_of(task.get(part, []))


def test_the_address_of_a_bundle_is_not_printed_with_its_login():
    """A fact is printed by -v; what ``bundle_check`` returns has no login."""
    files = [*REPOSITORY.glob("playbooks/tasks/*.yml"), *REPOSITORY.glob("roles/*/tasks/*.yml")]
    found = [
        task
        for path in files
        for task in facts_of(load(path))
        if "dualroot_bundle_url" in task["ansible.builtin.set_fact"]
    ]
    assert len(found) == 4
    for task in found:
        assert task["no_log"] is True
        template = task["ansible.builtin.set_fact"]
        assert list(template) == ["dualroot_bundle_url"]
        address = "https://deploy:hunter2@bundles.example/gw"
        for bundle, shown, wanted in ((address, "https://bundles.example/gw", address), ("/srv/gw", "", "")):
            given = {"dualroot_bundle": bundle, "dualroot_checked": {"url": shown}}
            assert render(template["dualroot_bundle_url"], **given) == wanted
