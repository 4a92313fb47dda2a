# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator's consent: the number of hosts that they expect to convert."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..faults import plan as kinds
from ..faults.fault import Fault


def check(consent: Any, hosts: Sequence[str], strategy: str = "linear") -> bool:
    """Return whether the operator consents to these hosts; ``False`` where they said nothing.

    Surveys deliver text and empty text. Raises ``Fault`` ``plan.consent_wrong`` for a wrong number
    and ``plan.strategy_unsafe`` for a strategy that does not stop a rollout.
    """
    if strategy.rsplit(".", 1)[-1] != "linear":
        raise Fault(kinds.STRATEGY, strategy=strategy)
    said = "" if consent is None or isinstance(consent, bool) else str(consent).strip()
    if not said and not isinstance(consent, bool):
        return False
    if said != str(len(hosts)):
        shown = ", ".join(hosts[:8]) + (" …" if len(hosts) > 8 else "")
        raise Fault(kinds.CONSENT_WRONG, said=said or str(consent).lower(), count=len(hosts), hosts=shown)
    return True
