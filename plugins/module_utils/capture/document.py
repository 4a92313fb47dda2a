# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The capture document: everything that is carried over, as one JSON document.

It holds password hashes and private keys. It is written to files of mode 0600 on the host and into
the host's own cpio, and leaves the host only as ``redact.redact`` makes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..faults import capture as kinds
from ..faults.fault import Fault
from ..runner import Runner
from ..shape import foreign, parse
from . import accounts, extra_paths, identity, network, secure_shell
from .finding import finding
from .shape import problems as shape_problems

VERSION = 1


def read(root: Path, runner: Runner, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read the configuration of the system under ``root`` (``/`` on a live host).

    ``options``: ``extra_paths`` (list of paths), ``extra_paths_limit`` (bytes), ``login_user`` (an
    account that is carried over whatever it is). What was noticed is under ``findings``, in the
    shape of preflight's; those of severity ``refuse`` mean that the document must not be used.
    """
    chosen = dict(options or {})
    found = network.read(root, runner)
    ssh = secure_shell.read(root, runner)
    limit = int(chosen.get("extra_paths_limit") or extra_paths.DEFAULT_LIMIT)
    entries, path_findings = extra_paths.read(root, chosen.get("extra_paths") or (), limit)
    findings = [*found.findings, *path_findings]
    if ssh["has_match_blocks"]:
        findings.append(finding(kinds.SSHD_MATCH))
    if ssh["not_carried"]:
        findings.append(finding(kinds.SSHD_SETTING, settings=", ".join(ssh["not_carried"])))
    return {
        "version": VERSION,
        **identity.read(root),
        "network": {**found.network.to_document(), "runtime": found.runtime},
        "accounts": accounts.read(root, tuple(ssh["authorized_keys_files"]), str(chosen.get("login_user") or "")),
        "ssh": ssh,
        "extra_paths": entries,
        "findings": findings,
    }


def dump(document: Mapping[str, Any]) -> str:
    """Return the text of the document; the same document always gives the same text."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def load(path: Path) -> dict[str, Any]:
    """Read a document that ``dump`` made; ``Fault`` ``capture.document_invalid`` for anything else."""
    try:
        document = parse(path.read_bytes())
    except (OSError, ValueError) as error:
        # Not the error's own text for bad JSON: it may quote the secret that it stumbled on.
        problem = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise Fault(kinds.DOCUMENT_INVALID, path=path, problem=problem) from None
    return check(document, path)


def check(document: Any, path: Path | str) -> dict[str, Any]:
    """Return the document if it has the shape of a capture; ``path`` is for the fault's text.

    Raises ``Fault`` ``capture.document_invalid`` with every wrong field and its path.
    """
    found = foreign(document) if isinstance(document, dict) else [".: a mapping is needed"]
    if not found and document.get("version") != VERSION:
        found = [f".version: its version is not {VERSION}"]
    found = found or shape_problems(document)
    if found:
        raise Fault(kinds.DOCUMENT_INVALID, path=path, problem="; ".join(found))
    return dict(document)
