# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side: what a host keeps of a run, whichever system it runs: plan, journal, log, result.

Stage two and the recovery system keep it in memory, the old and the new system in the folder of the run.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..module_utils.faults.fault import Fault
from ..module_utils.plan import document
from ..module_utils.report import files
from ..module_utils.revive.finish import UNFINISHED
from ..module_utils.run_folders import RUNS
from ..module_utils.waiting import timeline

#: Bytes of the log that are fetched; its end is what matters.
LOG_BYTES = 262144
_MARK = "DUALROOT-FILE"
_NAMES = ("plan.json", "capture-redacted.json", "result.json", "journal.jsonl", "stage-two.log")
#: Where stage two and the recovery system have them; their capture is the whole one, and stays there.
_IN_MEMORY = {
    "plan.json": "/etc/dualroot/plan.json",
    "journal.jsonl": "/run/dualroot/journal.jsonl",
    "stage-two.log": "/run/dualroot/log",
}

#: What there is of a staged restore, and of nothing else, on a host that runs a slot.
_STAGED = ("/boot/dispatch/restore", "/var/lib/dualroot/stage")

#: Runs shell text and returns what it printed.
Ask = Callable[[str], str]


def paths_on_disk(run_id: str) -> dict[str, str]:
    """Return where the old or the new system keeps the files of a run."""
    return {name: f"/{RUNS}/{run_id}/{name}" for name in _NAMES}


def paths_in_memory() -> dict[str, str]:
    """Return where stage two and the recovery system keep theirs."""
    return dict(_IN_MEMORY)


def fetch(ask: Ask, paths: Mapping[str, str]) -> dict[str, Any]:
    """Return ``{plan, capture, result, journal, log}``; what is not there or not whole is ``None`` or empty."""
    lines = [
        f"echo {_MARK} {name}; tail -c {LOG_BYTES} {shlex.quote(path)} 2>/dev/null; echo"
        if name.endswith(".log")
        else f"echo {_MARK} {name}; cat {shlex.quote(path)} 2>/dev/null; echo"
        for name, path in paths.items()
    ]
    texts = _sections(ask("; ".join([*lines, f"echo {_MARK} end"])))
    return {
        "plan": _plan(texts.get("plan.json", "")),
        "capture": _mapping(texts.get("capture-redacted.json", "")),
        "result": _mapping(texts.get("result.json", "")),
        "journal": timeline.read_journal(texts.get("journal.jsonl", "")),
        "log": texts.get("stage-two.log", "").strip("\n"),
    }


def left_of_restore(ask: Ask) -> dict[str, Any]:
    """Return what a controller that died has left of a restore: ``{unfinished, restore_staged}``.

    The first is the run that stage two has brought to its end and no controller has finished in the old system, empty
    for none; the second tells whether one is staged on a slot.
    """
    patterns = (f"/{RUNS}/*/{UNFINISHED}", *_STAGED)
    said = ask(f'for i in {" ".join(patterns)}; do [ ! -e "$i" ] || echo "{_MARK} $i"; done')
    paths = [path for path in map(_marked, _lines(said)) if path]
    runs = [Path(path).parent.name for path in paths if path not in _STAGED]
    return {"unfinished": max(runs, default=""), "restore_staged": len(runs) < len(paths)}


def keep(folder: Path, kept: Mapping[str, Any]) -> None:
    """Write log and journal into a host's folder of evidence, where they say more than what is there."""
    if kept["log"]:
        files.write_text(folder / files.LOG, str(kept["log"]) + "\n")
    known = files.read_document(folder, "journal") or []
    documents = {
        "plan": None if files.read_document(folder, "plan") else kept["plan"],
        "capture-redacted": None if files.read_document(folder, "capture-redacted") else kept["capture"],
        "journal": kept["journal"] if len(kept["journal"]) > len(known) else None,
    }
    files.write_host(folder, documents)


def _lines(text: str) -> list[str]:
    return text.replace("\r", "").split("\n")


def _marked(line: str) -> str:
    """Return what a line of our own names, empty for any other line."""
    words = line.split(" ")
    return words[1] if len(words) == 2 and words[0] == _MARK else ""


def _sections(text: str) -> dict[str, str]:
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in _lines(text):
        name = _marked(line)
        if name in (*_NAMES, "end"):
            current = sections.setdefault(name, [])
        else:
            current.append(line)
    # A cut answer is no answer: half a journal is worth having, half a plan is refused by its digest.
    return {name: "\n".join(body) for name, body in sections.items()}


def _mapping(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _plan(text: str) -> dict[str, Any] | None:
    try:
        return document.load(_mapping(text))
    except Fault:
        return None
