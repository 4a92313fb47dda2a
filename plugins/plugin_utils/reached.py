# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side: a host that cannot be reached *fails*, with a fault, and is never *unreachable*.

ansible-core takes an unreachable host out of the play without a word: no rescue is entered, so nothing is
recorded, and a batch whose hosts are all gone runs no task any more that could stop the rollout or write
a report. An action that ends in *failed* has all of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.common.text.converters import to_text
from ansible.plugins.action.normal import ActionModule as NormalAction

from ..module_utils.faults import convert, flow
from ..module_utils.faults.fault import Fault
from ..module_utils.waiting.observation import KeyChanged, read_failure
from .results import failed

Run = Callable[..., "dict[str, Any]"]


def reached(run: Run) -> Run:
    """Wrap the ``run`` of an action."""

    @functools.wraps(run)
    def wrapped(self: Any, *arguments: Any, **named: Any) -> dict[str, Any]:
        try:
            return run(self, *arguments, **named)
        except AnsibleConnectionFailure as error:
            return failed(_fault(to_text(error)))

    return wrapped


def _fault(message: str) -> Fault:
    seen = read_failure(message)
    detail = getattr(seen, "reason", "") or "no reason given"
    if isinstance(seen, KeyChanged):
        return Fault(convert.HOST_KEY_CHANGED, detail=detail)
    return Fault(flow.UNREACHABLE, detail=detail)


class ReachedModule(NormalAction):
    """The action of a module: runs it as ansible-core does, and fails where the host cannot be reached.

    An action of a module's own name comes before the module itself.
    """

    run = reached(NormalAction.run)
