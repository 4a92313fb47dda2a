# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host that runs slot a, with an empty slot b, for the tests of the update."""

from __future__ import annotations

from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.boot.records import SlotRecord
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.slot_state import SlotState
from ansible_collections.dualroot.migrate.plugins.module_utils.update import judge
from ansible_collections.dualroot.migrate.plugins.module_utils.update.carry import Carried
from ansible_collections.dualroot.migrate.plugins.module_utils.update.host import Host
from ansible_collections.dualroot.migrate.plugins.module_utils.update.options import Options

from tests.support.layouts import RUN_ID, resolved
from tests.unit.plan.documents import manifest as bundle_manifest

NEW_RUN = "20260303T030303Z-fedcba"
NOW = 1795201200
CAPTURE: dict[str, Any] = {
    "hostname": "gate1",
    "machine_id": "5f1b2c3d4e5f60718293a4b5c6d7e8f9",
    "accounts": {"users": [{"name": "admin", "has_password": True}]},
}


def state(a: str = "good", b: str = "empty", **changes: Any) -> SlotState:
    return SlotState(order=("a", "b"), slots={"a": a, "b": b}, **changes)


def record(slot: str = "a", **changes: Any) -> SlotRecord:
    values = {
        "slot": slot,
        "kind": "bundle",
        "name": "gateway",
        "version": "13.0",
        "layout": "va",
        "run_id": RUN_ID,
        "installed": "2026-01-01T00:00:00Z",
        "payload_sha256": "a" * 64,
    }
    return SlotRecord(**{**values, **changes})


def host(**changes: Any) -> Host:
    values: dict[str, Any] = {
        "running": "a",
        "run_id": RUN_ID,
        "target": "b",
        "state": state(),
        "records": {"a": record()},
        "installed": {
            "name": "gateway",
            "version": "13.0",
            "payload_sha256": "a" * 64,
            "layout": "va",
            "run_id": RUN_ID,
        },
        "layout": resolved("va"),
        "layout_problem": "",
        "kernel_arguments": ("console=ttyS0",),
        "firmware": "bios",
        "differences": (),
        "users": (),
        "architecture": "x86_64",
        "memory_available": 1 << 30,
        "dispatch_free": 1 << 30,
    }
    return Host(**{**values, **changes})


def options(**changes: Any) -> Options:
    values = {
        "run_id": NEW_RUN,
        "host": "gate1",
        "now": NOW,
        "login_user": "admin",
        "manifest_sha256": "f" * 64,
        "signed_by": "b" * 64,
    }
    return Options(**{**values, **changes})


def manifest(**changes: Any) -> dict[str, Any]:
    return {**bundle_manifest(), **changes}


def judged(
    at: Host | None = None, bundle: dict[str, Any] | None = None, paths: Carried | None = None, **wishes: Any
) -> dict[str, Any]:
    return judge.judge(at or host(), bundle or manifest(), options(**wishes), CAPTURE, [], paths or Carried((), 0))
