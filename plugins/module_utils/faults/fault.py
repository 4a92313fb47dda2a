# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An expected failure, with what a person needs to go on.

A kind of fault is declared once, in a catalogue file of this package; code raises it by its id
and fills in the particulars. The same record is shown in ``fail_json``, on the console, in the
report and in ``docs/faults.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FaultKind:
    """One entry of the catalogue; the texts are templates for ``str.format``.

    ``id`` is ``area.name``, never renamed once released; ``phase`` is a name of ``phases.py``.
    """

    id: str
    phase: str
    what: str
    why: str
    how: str


class Fault(Exception):
    """An expected failure: raised by the engine, turned into ``fail_json`` in one place.

    ``particulars`` fill the templates of the kind. They must never hold a secret: a fault is
    printed, logged and kept.
    """

    def __init__(self, kind: FaultKind, /, **particulars: Any) -> None:
        self.kind = kind
        self.particulars = particulars
        super().__init__(f"{kind.id}: {self.what}")

    @property
    def id(self) -> str:
        return self.kind.id

    @property
    def what(self) -> str:
        return self._filled(self.kind.what)

    def record(self) -> dict[str, str]:
        """Return ``{id, phase, what, why, how}``, all strings."""
        return {
            "id": self.kind.id,
            "phase": self.kind.phase,
            "what": self.what,
            "why": self._filled(self.kind.why),
            "how": self._filled(self.kind.how),
        }

    def _filled(self, template: str) -> str:
        # Half characters, as a name of a file may have them, would break whoever prints the fault.
        return template.format(**self.particulars).encode("utf-8", "backslashreplace").decode()
