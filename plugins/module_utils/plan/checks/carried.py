# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is carried over, as the readers of the capture report it, and how the host is reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...faults import preflight as kinds
from ..context import Context
from ..finding import SEVERITIES, Finding, find, from_record


def check(context: Context) -> Iterator[Finding]:
    """Pass on what the readers reported; check the addresses from the controller's point of view."""
    for problem in context.capture_problems:
        yield reported(problem)
    for address in context.bad_addresses:
        yield find(kinds.ADDRESS, interface=address["interface"], address=address["address"])
    if context.capture is not None:
        yield from _reached(context, context.capture)
        yield from login(context.options.login_user, context.capture)


def reported(record: Mapping[str, str]) -> Finding:
    """Make a finding of a reader's record ``{id, phase, what, why, how, severity}``."""
    severity = record.get("severity") or "refuse"
    return from_record({**record, "phase": "preflight"}, severity if severity in SEVERITIES else "refuse")


def _reached(context: Context, capture: Mapping[str, Any]) -> Iterator[Finding]:
    interfaces = (capture.get("network") or {}).get("interfaces") or []
    usable = [one for one in interfaces if one.get("addresses") or one.get("dhcp4") or one.get("dhcp6")]
    if not usable:
        yield find(kinds.NO_INTERFACE)
    reached = context.options.reached_at.split("%", 1)[0]
    carried = {str(text).split("/", 1)[0] for one in interfaces for text in one.get("addresses") or []}
    dynamic = any(one.get("dhcp4") or one.get("dhcp6") or one.get("accept_ra") for one in usable)
    if reached and usable and reached not in carried and not dynamic:
        yield find(kinds.OTHER_ADDRESS, address=reached)


def login(login_user: str, capture: Mapping[str, Any]) -> Iterator[Finding]:
    """The account of the run must be able to log in to stage two and to the new system."""
    accounts = capture.get("accounts") or {}
    user = next((one for one in accounts.get("users") or [] if one.get("name") == login_user), None)
    if user is None:
        yield find(kinds.LOGIN_MISSING, user=login_user)
    elif not user.get("has_password") and login_user not in {
        key.get("user") for key in accounts.get("authorized_keys") or []
    }:
        yield find(kinds.LOGIN_LOCKED, user=login_user)
