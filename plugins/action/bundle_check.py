# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check a bundle on the controller, before any host is touched; see modules/bundle_check.py."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.action import ActionBase

from ..module_utils.address import shown
from ..module_utils.bundle import check, source
from ..module_utils.bundle.manifest import Manifest
from ..module_utils.faults import bundle as kinds
from ..module_utils.faults.fault import Fault
from ..module_utils.runner import CommandRunner
from ..plugin_utils.results import failed


class ActionModule(ActionBase):
    """Only reads, so check mode is the same as without."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "bundle": {"type": "str", "required": True},
                "trusted_keys": {"type": "list", "elements": "path", "default": [], "no_log": False},
                "allow_unsigned": {"type": "bool", "default": False},
                "layout": {"type": "str", "default": ""},
                "cache": {"type": "path", "default": "~/.cache/dualroot/bundles"},
            }
        )
        try:
            with tempfile.TemporaryDirectory(prefix="dualroot-") as scratch:
                return _check(arguments, Path(scratch))
        except Fault as fault:
            return failed(fault, changed=False)


def _check(arguments: Mapping[str, Any], scratch: Path) -> dict[str, Any]:
    bundle = str(arguments["bundle"])
    origin = source.open_source(bundle if "://" in bundle else str(Path(bundle).expanduser().absolute()))
    checked = check.check(
        CommandRunner(),
        origin,
        [Path(key) for key in arguments["trusted_keys"]],
        arguments["allow_unsigned"],
        Path(arguments["cache"]),
        scratch,
    )
    name = str(arguments["layout"]) or checked.manifest.layout
    return {
        "changed": False,
        "manifest": checked.document,
        "manifest_sha256": checked.manifest_sha256,
        "signed_by": checked.signed_by,
        "fingerprint": checked.fingerprint,
        "proof": checked.proof,
        "folder": str(origin.folder or ""),
        # A registered result is printed by -v.
        "url": shown(origin.url),
        "modaliases": str(checked.modaliases),
        "interpreter": str(checked.interpreter),
        "layout_name": Path(name).stem,
        "layout": _layout(origin, checked.manifest, name),
    }


def _layout(origin: source.Source, manifest: Manifest, name: str) -> Any:
    """Return the layout's document: of the bundle by name, or of a file of the operator."""
    path = Path(name).expanduser()
    if name in manifest.layouts or not path.is_file():
        return check.read_layout(origin, manifest, name)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    # RecursionError: what a document nested a thousand times deep does to the reader.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise Fault(kinds.LAYOUT_UNREADABLE, file=path, reason=" ".join(str(error).split())) from error
    if not isinstance(document, dict):
        raise Fault(kinds.LAYOUT_UNREADABLE, file=path, reason="it holds no mapping")
    return document
