# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every kind of fault, from every file of this package; ``docs/faults.md`` is written from it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from ..phases import ALL_PHASES
from .fault import FaultKind

#: Files of this package that declare no kinds.
_NOT_DECLARING = ("fault", "catalogue")


def all_kinds() -> list[FaultKind]:
    """Return every declared kind, by phase in the order of a run, then by id."""
    package = __name__.rpartition(".")[0]
    path = importlib.import_module(package).__path__
    kinds: list[FaultKind] = []
    for module in pkgutil.iter_modules(path):
        if module.name not in _NOT_DECLARING:
            kinds.extend(importlib.import_module(f"{package}.{module.name}").KINDS)
    return sorted(kinds, key=lambda kind: (ALL_PHASES.index(kind.phase), kind.id))


def _sections(kinds: list[FaultKind]) -> Iterator[str]:
    for phase in ALL_PHASES:
        of_phase = [kind for kind in kinds if kind.phase == phase]
        if not of_phase:
            continue
        yield f"## {phase}\n"
        for kind in of_phase:
            yield (f"### {kind.id}\n\n**What:** {kind.what}.\n\n**Why:** {kind.why}\n\n**How to go on:** {kind.how}\n")


def page() -> str:
    """Return the whole of ``docs/faults.md``."""
    head = (
        "# Faults\n\n"
        "Every expected failure has an id, a phase, and says what happened, why, and how to go on. The "
        "same record is shown\n"
        "by the failing task, on the console of stage two, and in the report. Words in {braces} are "
        "filled in.\n\n"
        "This page is written from the code by `tests/bin/write_faults_page.py`; a test compares the "
        "two.\n"
    )
    return "\n".join([head, *_sections(all_kinds())])
