# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every fault is in the catalogue once, and says what a person needs at three in the morning."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.catalogue import all_kinds, page
from ansible_collections.dualroot.migrate.plugins.module_utils.phases import ALL_PHASES

REPOSITORY = Path(__file__).resolve().parents[3]
KINDS = all_kinds()


def test_ids_are_unique():
    ids = [kind.id for kind in KINDS]
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize("kind", KINDS, ids=[kind.id for kind in KINDS])
def test_a_kind_is_whole(kind):
    assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", kind.id)
    assert kind.phase in ALL_PHASES
    for text in (kind.what, kind.why, kind.how):
        assert text.strip()
        # Raises for templates that str.format could not fill.
        fields = [field for _text, field, _spec, _conversion in string.Formatter().parse(text) if field is not None]
        assert all(field.isidentifier() for field in fields), fields
    assert not kind.what.endswith("."), "what is shown inside other sentences"
    assert kind.how.endswith((".", ")")) or kind.how.endswith("}")


def test_the_page_is_written_from_the_code():
    text = (REPOSITORY / "docs/faults.md").read_text(encoding="utf-8")
    assert text == page(), "run tests/bin/write_faults_page.py"
