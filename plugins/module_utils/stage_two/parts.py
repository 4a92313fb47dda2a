# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The areas of the engine that stage two calls, imported when they are needed.

One object to inject: tests replace it, and Python, slow to start under emulation, loads a part
only when its phase begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runner import Runner

if TYPE_CHECKING:
    from ..archive.restore import Order
    from ..layout.model import ResolvedLayout

Document = Mapping[str, Any]


class Parts:
    """Thin calls into the other areas."""

    def load_plan(self, document: Any, now: float | None) -> dict[str, Any]:
        """Return the plan if it is whole and, where ``now`` is given, not too old."""
        from ..plan import document as plans

        plan = plans.load(document)
        if now is not None:
            plans.check_expiry(plan, now)
        return plan

    def layout(self, document: Any) -> ResolvedLayout:
        from ..layout.model import ResolvedLayout

        return ResolvedLayout.from_document(document)

    def bring_up_network(self, runner: Runner, network: Document) -> None:
        from ..capture.network_up import bring_up

        bring_up(network, runner)

    def prepare_login(self, capture: Document, login_user: str) -> None:
        from ..capture.stage_two import prepare

        prepare(capture, login_user)

    def find_disk(self, runner: Runner, identity: Document, new_disk_guid: str) -> str:
        from ..disk.identity import find

        return find(runner, identity, new_disk_guid=new_disk_guid)

    def disk_users(self, node: str) -> list[str]:
        from ..disk.usage import uses

        return [str(use) for use in uses(node)]

    def describe_change(self, node: str, resolved: ResolvedLayout) -> str:
        """Compute what ``apply_table`` would do, without doing it."""
        from ..disk import table
        from ..disk.read import read_disk

        wanted = table.target(resolved, "convert")
        change = table.plan_change(read_disk(node), wanted)
        return f"{change.kind} table with {len(wanted.entries)} partitions"

    def check_ahead(self, runner: Runner, node: str, resolved: ResolvedLayout, plan: Document) -> None:
        """Raise now what the phases after the point of no return would raise too late."""
        from ..boot.install import check as check_boot
        from ..disk.signatures import check as check_groups

        check_groups(runner, node, [group.name for group in resolved.volume_groups])
        check_boot(runner, resolved, plan)

    def tear_down(self, runner: Runner, node: str) -> None:
        from ..disk.signatures import tear_down

        tear_down(runner, node)

    def apply_table(self, runner: Runner, node: str, resolved: ResolvedLayout) -> None:
        from ..disk.table import apply

        apply(runner, node, resolved, "convert", relabel=True)

    def ensure_volumes(self, runner: Runner, node: str, resolved: ResolvedLayout) -> None:
        from ..volumes.apply import ensure

        # Whatever old bytes the new devices show: the disk is ours from the point of no return on.
        ensure(runner, node, resolved, "convert", replace=True)

    def restore(self, runner: Runner, order: Order, progress: Callable[[int, int], None]) -> Document:
        from ..archive.restore import restore

        return vars(restore(runner, order, progress))

    def configure(self, runner: Runner, root: Path, capture: Document, renderer: str) -> list[str]:
        from ..capture.configure import apply

        return list(apply(root, capture, renderer=renderer, runner=runner))

    def redact(self, capture: Document) -> Document:
        from ..capture.redact import redact

        return redact(capture)

    def install_boot(
        self,
        runner: Runner,
        resolved: ResolvedLayout,
        node: str,
        dispatch: Path,
        new: Path,
        plan: Document,
        environment: Path,
        host_files: Path,
    ) -> None:
        from ..boot.install import install

        install(runner, resolved, node, dispatch, new, plan, environment, host_files=host_files)

    def mark_trying(self, dispatch: Path, slot: str) -> None:
        from ..boot.install import mark_trying

        mark_trying(dispatch, slot)

    def switch_boot(self, node: str, resolved: ResolvedLayout) -> None:
        from ..boot.install import switch

        switch(node, resolved)
