# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A phase is one word with one meaning: role, tag, docs heading."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.dualroot.migrate.plugins.module_utils.phases import (
    HOST_PHASES,
    SIDE_PHASES,
    STAGE_TWO_PHASES,
)

REPOSITORY = Path(__file__).resolve().parents[3]
#: The role of the build phase is called after what it makes.
OTHER_ROLES = {"bundle"}


def roles_of(tasks):
    """Yield ``(role, tags)`` of every imported role, blocks included."""
    for task in tasks:
        for section in ("block", "rescue", "always"):
            yield from roles_of(task.get(section, []))
        role = task.get("ansible.builtin.import_role")
        if role:
            yield role["name"].rpartition(".")[2], task.get("tags", [])


def roles_of_playbook(name):
    plays = yaml.safe_load((REPOSITORY / f"playbooks/{name}.yml").read_text(encoding="utf-8"))
    return [pair for play in plays for pair in roles_of(play.get("tasks", []))]


def test_roles_are_the_phases():
    roles = {path.name for path in (REPOSITORY / "roles").iterdir() if path.is_dir()}
    assert roles - OTHER_ROLES == {*HOST_PHASES, *SIDE_PHASES}


def test_migrate_goes_through_all_phases_in_order():
    assert [role for role, _tags in roles_of_playbook("migrate")] == list(HOST_PHASES)


@pytest.mark.parametrize(
    "playbook", ["migrate", "rehearse", "preflight", "disarm", "update", "rollback", "status", "restore"]
)
def test_tags_are_called_like_their_roles(playbook):
    pairs = roles_of_playbook(playbook)
    assert pairs
    for role, tags in pairs:
        assert tags == [role]


def test_an_update_is_judged_installed_verified_and_kept():
    assert [role for role, _tags in roles_of_playbook("update")] == ["update", "update", "verify", "update"]


def test_a_restore_is_judged_and_carried_out():
    assert [role for role, _tags in roles_of_playbook("restore")] == ["revive", "revive"]


def test_every_role_has_what_a_collection_needs():
    for role in (REPOSITORY / "roles").iterdir():
        for name in ("README.md", "meta/argument_specs.yml", "tasks/main.yml"):
            assert (role / name).is_file(), f"{role.name}/{name}"


def test_the_docs_have_the_phases_in_order():
    lines = (REPOSITORY / "docs/how-it-works.md").read_text(encoding="utf-8").splitlines()
    assert [line[3:] for line in lines if line.startswith("## ")] == list(HOST_PHASES)
    rows = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert [name for name in rows if name in STAGE_TWO_PHASES] == list(STAGE_TWO_PHASES)
