# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the payload of an update is read from: an address, a folder of the host, or a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..address import address_of, is_address
from ..archive.packed import Source
from ..faults import boot as kinds
from ..faults.fault import Fault
from . import http


def source_of(given: str, payload: Mapping[str, Any]) -> Source:
    """Return the payload that a plan names; raises ``boot.source_missing`` where a folder does not have it."""
    name = str(payload["file"])
    if is_address(given):
        return http.Download(address_of(given, name), int(payload["size"]))
    path = Path(given)
    for candidate in (path, path / name, path / Path(name).name):
        if candidate.is_file():
            return candidate
    raise Fault(kinds.SOURCE_MISSING, file=name, source=given, problem="there is no such file")
