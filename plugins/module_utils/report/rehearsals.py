# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Earlier results of a host in the folder of the reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .files import host_folder, read_document


def results(directory: Path, host: str) -> Iterator[dict[str, Any]]:
    """Yield the ``result.json`` of every run of a host; what cannot be read is left out."""
    try:
        runs = sorted(entry for entry in directory.iterdir() if entry.is_dir())
    except OSError:
        return
    for run in runs:
        document = read_document(host_folder(directory, run.name, host), "result")
        if isinstance(document, dict) and document.get("host") in (host, None):
            yield document
