# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbooks with the real ansible-playbook, and scripted answers instead of a host.

Playbooks, roles, report, consent and faults are the real ones; whatever would touch a host is answered from a script.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
PLAYBOOK = sorted(Path(sys.executable).parent.glob("ansible-playbook"))
RUN = "20260101T000000Z-000001"
HOST = "gate"

#: What would touch the host or a bundle.
SCRIPTED = (
    "bundle_check",
    "host_commit",
    "host_probe",
    "host_verify",
    "initramfs_stage",
    "interpreter",
    "lock",
    "restart",
    "revive_finish",
    "revive_stage",
    "slot_info",
    "slot_install",
    "slot_mark",
    "slot_rollback",
    "transfer",
    "update_plan",
    "where",
)
STUB = """
from __future__ import annotations

import json
import os
from pathlib import Path

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        name = self._task.action.rpartition(".")[2]
        calls = Path(os.environ["SCRIPTED_CALLS"])
        before = [json.loads(line)["name"] for line in calls.read_text().splitlines()]
        with calls.open("a") as stream:
            stream.write(json.dumps({"name": name, "args": self._task.args}, default=str) + "\\n")
        answers = json.loads(Path(os.environ["SCRIPTED_ANSWERS"]).read_text()).get(name, [{}])
        return {"changed": False, **answers[min(before.count(name), len(answers) - 1)]}
"""

#: What ``bundle_check`` says of a bundle.
CHECKED = {
    "manifest": {"name": "gateway", "version": "2", "environment": {"interpreter": {"sha256": "i", "size": 5}}},
    "manifest_sha256": "m2",
    "fingerprint": "f",
    "interpreter": "/nowhere/interpreter.tar.gz",
    "layout_name": "va",
    "folder": "/srv/bundle",
    "url": "",
}


@dataclass(frozen=True)
class Done:
    """How a playbook ended, and what it asked for."""

    returncode: int
    output: str
    calls: list[dict[str, Any]]
    folder: Path

    def of(self, name: str) -> list[dict[str, Any]]:
        return [call["args"] for call in self.calls if call["name"] == name]

    def names(self) -> list[str]:
        """Return what changed something, in order."""
        quiet = ("where", "interpreter", "slot_info", "bundle_check", "update_plan")
        return [call["name"] for call in self.calls if call["name"] not in quiet]

    def result(self, run_id: str = RUN) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / run_id / HOST / "result.json").read_text())
        return document


def lay_out(top: Path) -> Path:
    """Make a folder of collections in which this one has scripted actions."""
    own = top / "ansible_collections/dualroot/migrate"
    (own / "plugins/action").mkdir(parents=True)
    for path in REPOSITORY.iterdir():
        if path.name in ("playbooks", "roles", "meta", "galaxy.yml"):
            (own / path.name).symlink_to(path)
    for path in (REPOSITORY / "plugins").iterdir():
        if path.name != "action":
            (own / "plugins" / path.name).symlink_to(path)
    for path in (REPOSITORY / "plugins/action").glob("*.py"):
        if path.stem not in SCRIPTED:
            (own / "plugins/action" / path.name).symlink_to(path)
    for name in SCRIPTED:
        (own / f"plugins/action/{name}.py").write_text(STUB, encoding="utf-8")
    return top


def run(
    collections: Path,
    folder: Path,
    name: str,
    *options: str,
    answers: Mapping[str, Any],
    **variables: Any,
) -> Done:
    """Run a playbook; ``answers`` are those of each action in turn. An option ``!NAME`` leaves a variable out."""
    (folder / "hosts").write_text(f"{HOST} ansible_connection=local\n", encoding="utf-8")
    (folder / "answers").write_text(json.dumps(answers), encoding="utf-8")
    (folder / "calls").write_text("", encoding="utf-8")
    given = {
        "dualroot_bundle": "/srv/bundle",
        "dualroot_report_dir": str(folder / "report"),
        "dualroot_run_id": RUN,
        "ansible_become": False,
        **variables,
    }
    # A run that is named by extra variables would keep its name where a host goes on with another one.
    words = [word for word in options if not word.startswith("!")]
    for word in options:
        if word.startswith("!"):
            given.pop(word[1:])
    done = subprocess.run(
        [
            str(PLAYBOOK[0]),
            "-i",
            str(folder / "hosts"),
            str(collections / "ansible_collections/dualroot/migrate/playbooks" / f"{name}.yml"),
            "-e",
            json.dumps(given),
            *words,
        ],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "SCRIPTED_ANSWERS": str(folder / "answers"),
            "SCRIPTED_CALLS": str(folder / "calls"),
        },
    )
    calls = [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
    return Done(done.returncode, done.stdout + done.stderr, calls, folder / "report")


def changed(done: Done) -> str:
    return done.output.partition("PLAY RECAP")[2].split("changed=")[1].split()[0]
