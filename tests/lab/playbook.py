# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a playbook of this collection as an operator does, and keep what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The top of the tree: the repository, or the installed collection.
TOP = Path(__file__).parents[2]
PLAYBOOK_SECONDS = 3600.0
END_SECONDS = 20.0


@dataclass(frozen=True)
class Outcome:
    """How a playbook ended: its status, all that it printed, and the reports it left."""

    returncode: int
    output: str
    reports: Path

    def runs(self) -> list[Path]:
        """Return the folders of the runs, oldest first."""
        return sorted(path for path in self.reports.glob("*") if path.is_dir())

    def document(self, host: str, name: str) -> Any:
        """Return a document of the last run of ``host``, as ``result`` or ``plan``."""
        found = [run / host / f"{name}.json" for run in self.runs()]
        return json.loads([path for path in found if path.exists()][-1].read_text())

    def pick(self, host: str, name: str, expression: str) -> Any:
        """Return what a JMESPath expression picks from a document of the last run of ``host``."""
        # Imported here: the lab itself builds and starts machines with nothing but Python.
        import jmespath

        return jmespath.search(expression, self.document(host, name))

    def result(self, host: str) -> dict[str, Any]:
        document: dict[str, Any] = self.document(host, "result")
        return document


def environment() -> dict[str, str]:
    """Return the environment in which Ansible finds the collection that this file belongs to."""
    inside = TOP.parents[1].name == "ansible_collections"
    collections = TOP.parents[2] if inside else TOP / ".work/collections"
    return {
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_HOST_KEY_CHECKING": "true",
        "ANSIBLE_RETRY_FILES_ENABLED": "false",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def run_playbook(
    name: str,
    variables: Mapping[str, Any],
    reports: Path,
    *,
    inventory: Path | None = None,
    verbosity: int = 0,
    show: bool = False,
    options: Sequence[str] = (),
    started: Callable[[subprocess.Popen[str]], None] | None = None,
) -> Outcome:
    """Run ``playbooks/NAME.yml``; with ``show`` its output goes to the screen as it comes as well.

    ``options`` are more words of the command line; ``started`` is told of the process, to end it early.
    """
    # The playbook ends when its caller is killed: setpriv hands it that wish (prctl(2), PR_SET_PDEATHSIG).
    argv = ["setpriv", "--pdeathsig", "TERM", "--", "ansible-playbook", str(TOP / "playbooks" / f"{name}.yml")]
    argv += ["-i", str(inventory)] if inventory else []
    argv += ["-" + "v" * verbosity] if verbosity else []
    argv += [*options, "-e", json.dumps({**variables, "dualroot_report_dir": str(reports)})]
    colour = {"ANSIBLE_FORCE_COLOR": "true"} if show and sys.stdout.isatty() else {"ANSIBLE_NOCOLOR": "true"}
    process = subprocess.Popen(
        argv,
        env={**os.environ, **environment(), **colour},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if started:
        started(process)
    lines = []
    try:
        for line in process.stdout or ():
            lines.append(line)
            if show:
                print(line, end="", flush=True)
        returncode = process.wait(PLAYBOOK_SECONDS)
    finally:
        _end(process)
    return Outcome(returncode, "".join(lines), reports)


def _end(process: subprocess.Popen[str]) -> None:
    """End a playbook that still runs; asked kindly, it ends its workers as well."""
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
