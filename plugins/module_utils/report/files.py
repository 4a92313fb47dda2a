# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folder of a run on the controller: one folder for each host, readable by its owner only."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: What a host's folder may hold, in the order in which a person reads it.
HOST_FILES: tuple[str, ...] = ("preflight", "plan", "capture-redacted", "journal", "result", "fault")
INDEX = "index.html"
CONSOLE = "console.log"
#: What stage two said, as it kept it itself.
LOG = "stage-two.log"
_UNSAFE = re.compile(r"[^A-Za-z0-9._:@+-]")
#: Bytes; file systems allow 255, and temporary names are longer.
_LONGEST = 180


def host_folder(directory: Path, run_id: str, host: str) -> Path:
    """Return where a host's evidence of a run goes; names never lead out of the report folder."""
    return directory / _safe(run_id) / _safe(host)


def _safe(name: str) -> str:
    """Return a name for a folder: the name itself where it is safe, else one that no other name has."""
    safe = _UNSAFE.sub("_", name)[:_LONGEST]
    # Made-up names begin with "_", so a name that does is made up as well.
    if safe == name and name.strip(".") and not name.startswith("_"):
        return name
    return f"_{safe}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def write_host(folder: Path, documents: Mapping[str, Any]) -> list[str]:
    """Write the documents that are not ``None``; return the names of the files that changed."""
    unknown = set(documents) - set(HOST_FILES)
    if unknown:
        raise ValueError(f"not a file of a report: {sorted(unknown)}")
    changed = []
    for name in HOST_FILES:
        document = documents.get(name)
        if document is not None and write_text(folder / f"{name}.json", _json(document)):
            changed.append(f"{name}.json")
    # The fault of an earlier attempt of the same run is over when the run ends well.
    if documents.get("result") and not documents["result"].get("fault") and (folder / "fault.json").exists():
        (folder / "fault.json").unlink()
        changed.append("fault.json")
    return changed


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_text(path: Path, text: str) -> bool:
    """Write a file as a whole, mode 0600, in folders of mode 0700; return whether it changed."""
    content = text.encode("utf-8")
    _make_folder(path.parent)
    if path.is_file() and path.read_bytes() == content:
        return False
    # The process id keeps parallel workers of one run apart.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    os.replace(temporary, path)
    return True


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        # A parallel worker may be quicker.
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)


def read_document(folder: Path, name: str) -> Any:
    """Return a document of a host's folder, or ``None`` where it is missing or cannot be read."""
    try:
        return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_run(directory: Path, run_id: str) -> dict[str, dict[str, Any]]:
    """Return the documents of every host of a run, by host; what cannot be read is left out."""
    hosts: dict[str, dict[str, Any]] = {}
    run = directory / _safe(run_id)
    for folder in sorted(run.iterdir()) if run.is_dir() else []:
        if not folder.is_dir():
            continue
        read = {name: read_document(folder, name) for name in HOST_FILES}
        documents = {name: document for name, document in read.items() if document is not None}
        if documents:
            hosts[_name_of(folder, documents)] = documents
    return hosts


def _name_of(folder: Path, documents: Mapping[str, Any]) -> str:
    """Return the host's own name, which its folder may not be able to have."""
    for name in ("result", "plan"):
        host = (documents.get(name) or {}).get("host")
        if isinstance(host, str) and _safe(host) == folder.name:
            return host
    return folder.name
