# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ``when`` of a block or an import is asked again before each of its tasks, those of included files among them.

So a task in it that changes what the condition asks for lets all that follow be skipped, without a word: a host that
was back in its old system was never said to be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
SECTIONS = ("block", "rescue", "always")
NAME = re.compile(r"\bdualroot_\w+")


def names_in(condition: Any) -> set[str]:
    return set(NAME.findall(yaml.safe_dump(condition))) if condition else set()


def set_by(task: dict[str, Any]) -> set[str]:
    facts = task.get("ansible.builtin.set_fact") or {}
    return {task.get("register", "")} | set(facts) - {""}


def included(task: dict[str, Any], folder: Path) -> list[tuple[dict[str, Any], Path]]:
    """Return the tasks of an included or imported file, each with the folder that its own includes start from."""
    for verb in ("include_tasks", "import_tasks"):
        given = task.get(f"ansible.builtin.{verb}")
        if given:
            path = folder / (given["file"] if isinstance(given, dict) else given)
            return [(one, path.parent) for one in yaml.safe_load(path.read_text(encoding="utf-8"))]
    return []


def sections(task: dict[str, Any], folder: Path) -> list[list[tuple[dict[str, Any], Path]]]:
    """Return what runs under the condition of a task: of ``rescue`` and ``block`` each for itself."""
    found = [[(one, folder) for one in task.get(name, [])] for name in SECTIONS]
    return [one for one in (*found, included(task, folder)) if one]


def flat(tasks: list[tuple[dict[str, Any], Path]]) -> Iterator[dict[str, Any]]:
    for task, folder in tasks:
        inside = sections(task, folder)
        if inside:
            yield from (one for section in inside for one in flat(section))
        else:
            yield task


def changed_conditions(tasks: list[tuple[dict[str, Any], Path]]) -> Iterator[str]:
    """Yield the tasks whose result changes a condition under which a later task stands."""
    for task, folder in tasks:
        # Of an include itself it is asked once; of the block around it, before each task of the file.
        asked = set() if "ansible.builtin.include_tasks" in task else names_in(task.get("when"))
        for section in sections(task, folder):
            for one in list(flat(section))[:-1]:
                for name in sorted(set_by(one) & asked):
                    yield f"{task['name']}: {one['name']} sets {name}"
            yield from changed_conditions(section)


def task_lists() -> list[Path]:
    return sorted([*REPOSITORY.glob("playbooks/**/*.yml"), *REPOSITORY.glob("roles/*/tasks/*.yml")])


@pytest.mark.parametrize("path", task_lists(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_task_changes_the_condition_it_stands_under(path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    plays = [play["tasks"] for play in document if "tasks" in play]
    lists = plays or [document]
    assert [said for tasks in lists for said in changed_conditions([(one, path.parent) for one in tasks])] == []


def test_a_changed_condition_is_found() -> None:
    tasks = [
        {
            "name": "outer",
            "when": ["dualroot_seen == 'new'"],
            "block": [{"name": "look", "register": "dualroot_seen"}, {"name": "then"}],
        },
        {
            "name": "the last one may",
            "when": "dualroot_seen",
            "block": [{"name": "first"}, {"name": "look", "register": "dualroot_seen"}],
        },
    ]
    assert list(changed_conditions([(one, REPOSITORY) for one in tasks])) == ["outer: look sets dualroot_seen"]
