# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of findings in docs/preflight.md, written from the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

BEGIN = "<!-- findings: written by tests/bin/write_findings_page.py -->"
END = "<!-- end of findings -->"
_HEADINGS = (("REFUSALS", "Refuse"), ("WARNINGS", "Warn"), ("NOTES", "Note"))


def _rows(kinds: ModuleType) -> Iterator[str]:
    for name, heading in _HEADINGS:
        yield f"\n### {heading}\n\n| id | what | what to do |\n|---|---|---|\n"
        for kind in getattr(kinds, name):
            yield f"| `{kind.id}` | {kind.what} | {kind.how} |\n"


def with_table(page: str, kinds: ModuleType) -> str:
    """Return the page with the table between its marks written anew."""
    before, _mark, rest = page.partition(BEGIN)
    _old, _mark, after = rest.partition(END)
    return f"{before}{BEGIN}\n{''.join(_rows(kinds))}\n{END}{after}"
