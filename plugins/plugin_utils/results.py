# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side: how an action ends with a fault; the same shape as a module's ``fail_json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils.faults.fault import Fault


def message(record: Mapping[str, Any]) -> str:
    """Return the record as the sentences that a person reads."""
    texts = (str(record.get(name, "")).strip() for name in ("what", "why", "how"))
    return " ".join(text if text.endswith((".", "!", "?", ")")) else f"{text}." for text in texts if text)


def failed(record: Mapping[str, Any] | Fault, **fields: Any) -> dict[str, Any]:
    """Return the result of an action that ends with ``record``."""
    shown = record.record() if isinstance(record, Fault) else dict(record)
    return {"failed": True, "msg": message(shown), "fault": shown, **fields}
