# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every fault that can occur when the old system is gone has its page, written from the catalogue."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils.faults.catalogue import all_kinds

from tests.support import recovery_page
from tests.support.recovery_steps import NOT_THERE, STEPS

DOCS = Path(__file__).parents[3] / "docs"


def test_no_fault_is_without_steps():
    known = {kind.id for kind in all_kinds()}
    assert recovery_page.missing(all_kinds()) == []
    assert set(STEPS) - known == set() and set(NOT_THERE) - known == set()


def test_pages_are_those_of_the_catalogue():
    wanted = recovery_page.pages(all_kinds())
    found = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "recovery").glob("*.md")}
    assert found == wanted, "run tests/bin/write_recovery_pages.py"


def test_the_index_leads_to_all_of_them():
    text = (DOCS / "recovery.md").read_text(encoding="utf-8")
    assert text == recovery_page.with_index(text, all_kinds()), "run tests/bin/write_recovery_pages.py"


def test_each_page_tells_what_to_look_at_and_what_to_do():
    for identity, steps in STEPS.items():
        assert steps.state and steps.look and steps.mend, identity
