# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every layout that is shipped or shown in the docs can be used, and the page names every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.dualroot.migrate.plugins.module_utils.layout import loader, model, resolve

REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs/layouts.md").read_text(encoding="utf-8")
FILES = sorted([*(REPOSITORY / "docs/layouts").iterdir(), *(REPOSITORY / "roles/bundle/files/layouts").glob("*.yml")])
GIB = 1 << 30


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_each_layout_loads_and_resolves(path: Path, sector_bytes: int) -> None:
    layout = loader.load(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert layout.name == path.stem
    resolved = resolve.resolve(layout, resolve.DiskGeometry(40 * GIB, sector_bytes), "run/host")
    assert model.ResolvedLayout.from_document(resolved.to_document()) == resolved


def test_the_page_links_every_file() -> None:
    linked = {(REPOSITORY / "docs" / target).resolve() for target in re.findall(r"\]\(([^)]+\.yml)\)", PAGE)}
    assert linked == {path.resolve() for path in FILES}


def test_the_page_names_every_key_and_word() -> None:
    words = set(re.findall(r"`([^`]+)`", PAGE))
    keys = {*loader._LAYOUT, *loader._PARTITION, *loader._GROUP, *loader._VOLUME, *loader._FILE_SYSTEM, *loader._SLOT}
    assert keys <= words
    assert {*model.TYPE_GUIDS, *model.ATTRIBUTES, *model.LABEL_LENGTHS, *model.MOMENTS} <= words
