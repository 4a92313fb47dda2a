# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A layout as a task gives it: a document with wishes, or one that a plan has resolved already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import loader
from .model import ResolvedLayout
from .resolve import DiskGeometry, resolve


def resolved_from(document: Mapping[str, Any], disk: DiskGeometry, seed: str) -> ResolvedLayout:
    """Return the resolved layout of either kind of document.

    A resolved one is known by its ``disk_guid`` and is taken as it is; ``disk`` and ``seed`` then
    decide nothing. Raises ``Fault`` ``layout.*``.
    """
    if "disk_guid" in document:
        return ResolvedLayout.from_document(document)
    return resolve(loader.load(document), disk, seed)
