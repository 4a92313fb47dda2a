# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Counts results, for the console and for ``docs/reliability.md``; it says what was run and no more."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
CLASSES = ("OLD", "NEW", "RESUME", "RESCUE", "BRICK")
Line = Mapping[str, Any]

#: By who has control of the next start in the state that the cut left.
MOMENTS = {
    "old": "the old system has control",
    "armed": "the one-shot is armed and not used yet: the run begins as ordered",
    "return": "while control is switched",
    "lifeboat": "the lifeboat has control",
    "hand-over": "while control is handed over",
    "new": "the dispatcher has control",
    "unprotected": "nothing that is whole has control",
}

#: By what was being written, of which a recording of ``prepare`` tells; one of ``again`` carries its first cut's name.
_CUT = {
    "stage-one": "staging, on the running old system",
    "stage-two": "stage two",
    "again": "stage two once more, in the step in which it had been cut before",
}

_HEAD = """\
# Reliability

What a power cut does to a host, counted. **This page is written by a program**
(`tests/bin/write_reliability_page.py`) from the results in `tests/crash/results`; nothing on it is
typed by hand, and what was not run is not on it.

## How it is counted

A machine with a small old system is staged by the engine itself; every write of the staging is
logged. QEMU then runs the whole of stage two, with the real convert kernel and initrd, and logs every
write to the disk, the firmware's and GRUB's too. A **state** is what a power cut could have left: all
writes before the last flush, and of those behind it a prefix, a random subset (a disk may lose or
reorder what was not flushed), or one write torn between two sectors. Each state is written to a disk
and started. One write is never torn: that of the superblock of an old ext4 during the staging, whose
checksum covers two sectors; every host with ext4 has that risk at every power cut, staged or not.

| class | means |
|---|---|
| OLD | the old system starts, and every file that is not the migration's own is bit-identical |
| NEW | the new system starts; its files equal those of an undisturbed run, and `e2fsck` finds nothing |
| RESUME | stage two starts again by itself and ends in NEW, checked in the same way |
| RESCUE | the recovery system, or stage two held, reachable, with a reason |
| BRICK | anything else, also OLD or NEW with a wrong file: a defect |

New systems of these machines are small (a few hundred files and a kernel that only prints its
command line), because what is tested is the way there. Whole migrations of real systems are tested in
virtual machines elsewhere.
"""


def read(name: str, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return the lines of one file of results, none where it is not there."""
    path = folder / name
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


def by(lines: Sequence[Line], name: Callable[[Line], str]) -> list[list[object]]:
    """Return a row for each value of ``name``: the value, how many, and how many of each class."""
    groups: dict[str, Counter[str]] = {}
    for line in lines:
        groups.setdefault(name(line), Counter())[line["class"]] += 1
    return [
        [value, sum(counts.values()), *(counts[one] or "" for one in CLASSES)]
        for value, counts in sorted(groups.items())
    ]


def summary(lines: Sequence[Line]) -> str:
    """Return the counts for a console."""
    wrong = [line for line in lines if not line["ok"]]
    counts = Counter(line["class"] for line in lines)
    shown = ", ".join(f"{counts[one]} {one}" for one in CLASSES)
    text = f"{len(lines)} states: {shown}; {len(wrong)} not as expected\n"
    rows = by(lines, lambda line: f"{line['combo']} {line['moment']}")
    return text + "\n".join("  " + " ".join(f"{cell!s:>5}" for cell in row) for row in rows)


def page(folder: Path = RESULTS) -> str:
    """Return the whole page."""
    lines = read("soak.jsonl", folder)
    parts = [_HEAD, _states(lines)]
    control = read("control.jsonl", folder)
    if control:
        parts.append(_control(control))
    boots = read("boots.jsonl", folder)
    if boots:
        parts.append(_boots(boots))
    updates = read("updates.jsonl", folder)
    if updates:
        parts.append(_updates(updates))
    faults = read("faults.jsonl", folder)
    if faults:
        rows = [[one["row"], one["outcome"], one["count"], one["proof"], one["level"]] for one in faults]
        text = "## Other faults\n\n"
        if any(one["outcome"] == "GOOD SLOT" for one in faults):
            text += "GOOD SLOT: a converted host is back, by itself, in the slot that ran before.\n\n"
        parts.append(text + table(("fault", "outcome", "times", "proof that it landed", "level"), rows))
    fuzz = read("fuzz.jsonl", folder)
    if fuzz:
        rows = [
            [one["target"], one["engine"], one["inputs"], one["accepted"], one["refused"], len(one["failures"])]
            for one in fuzz
        ]
        head = ("document", "by", "inputs", "accepted", "refused with a fault", "anything else")
        parts.append("## Damaged documents\n\n" + table(head, rows))
    return "\n".join(parts)


def _states(lines: Sequence[Line]) -> str:
    if not lines:
        return "## Power cuts\n\nNo results are kept at present: run `make soak`.\n"
    engines = Counter(line["engine"] for line in lines)
    wrong = [line for line in lines if not line["ok"]]
    kinds = Counter(line["point"].split("-")[1] for line in lines)
    drawn = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    proved = sum(bool(line["proof"]["lacks"]) for line in lines)
    text = "## Power cuts\n\n"
    text += f"**{len(lines)} distinct states** were started ({drawn}), {len(wrong)} did not end as they must. "
    text += (
        f"In {proved} of them the proof that the cut landed is a write of the undisturbed run that the state lacks; "
    )
    text += "in the others the cut came where nothing more was to be written.\n"
    if len(engines) > 1:
        shown = ", ".join(f"{name} ({count})" for name, count in engines.most_common())
        text += f"They were made with several states of the engine while it was built: {shown}.\n"
    head = ("", "states", *CLASSES)
    named = [[MOMENTS.get(str(row[0]), row[0]), *row[1:]] for row in by(lines, lambda line: line["moment"])]
    text += "\n### By who had control\n\n" + table(("at the cut", *head[1:]), named)
    parts = by(lines, lambda line: _CUT["again" if line["recording"].startswith("again") else line["recording"]])
    text += "\n### By what was cut\n\n" + table(("cut of", *head[1:]), parts)
    text += "\n### By machine\n\n" + table(("machine", *head[1:]), by(lines, lambda line: line["combo"]))
    text += "\n### By step of the cut\n\n" + table(("step", *head[1:]), by(lines, lambda line: line["step"]))
    if wrong:
        rows = [[line["combo"], line["step"], line["point"], line["class"], line["problem"]] for line in wrong]
        text += "\n### Not as expected\n\n" + table(("machine", "step", "state", "class", "problem"), rows)
    return text + "\nThe seed, the state and the proof of each are in `tests/crash/results/soak.jsonl`.\n"


def _control(lines: Sequence[Line]) -> str:
    text = "## The control\n\nThe same with `dualroot_lifeboat: none`, where a cut must lose hosts: it shows that the\n"
    text += "classes can tell.\n\n"
    rows = by(lines, lambda line: line["moment"])
    return text + table(("at the cut", "states", *CLASSES), [[MOMENTS[str(row[0])], *row[1:]] for row in rows])


def _boots(lines: Sequence[Line]) -> str:
    rows = [[one["combo"], one["cuts"], one["class"], one["proof"]] for one in lines]
    text = "## Cuts during boots of a good slot\n\n"
    return text + table(("machine", "cuts in a row", "then", "proof"), rows)


def _updates(lines: Sequence[Line]) -> str:
    wrong = [line for line in lines if not line["ok"]]
    started = sum(line["started"] for line in lines)
    text = "## Power cuts of first starts, commits, updates and rollbacks\n\n"
    text += "A whole host (Debian 13, layout `va`) starts its new system for the first time and is committed;\n"
    text += "another one is updated and rolled back. The playbooks do that, with every write of the systems and of\n"
    text += "GRUB logged. In every state the slot state is read as GRUB reads it, the file systems of the slots are\n"
    text += "brought to order as a start does, and the files of the slot that ran are compared with what they were\n"
    text += "(but for what a running system writes by itself: `/var`, homes, Python's caches); so are those of the\n"
    text += "other slot where it may start. At first starts and commits Linux, GRUB and UEFI must each read the\n"
    text += "partition table from before the commit or the one from after it.\n\n"
    text += f"**{len(lines)} states**, {len(wrong)} not as they must be; {started} of them were started too, until\n"
    text += "the host let its user in. Those of first starts and commits were then migrated again, and had to end\n"
    text += "converted.\n\n"
    names = {"KEPT": "the slot that ran", "NEW": "the other slot, complete", "BRICK": "anything else"}
    head = ("", "states", *(f"next start: {shown}" for shown in names.values()))
    for title, name in (("cut of", "part"), ("slots at the cut", "moment"), ("last write to", "region")):
        groups: dict[str, Counter[str]] = {}
        for line in lines:
            groups.setdefault(line[name], Counter())[line["class"]] += 1
        rows = [
            [value, sum(one.values()), *(one[kind] or "" for kind in names)] for value, one in sorted(groups.items())
        ]
        text += table((title, *head[1:]), rows) + "\n"
    if wrong:
        rows = [[line["part"], line["point"], line["moment"], line["problem"]] for line in wrong]
        text += table(("cut of", "state", "slots", "problem"), rows) + "\n"
    return text + "The seed, the state and the proof of each are in `tests/crash/results/updates.jsonl`.\n"
