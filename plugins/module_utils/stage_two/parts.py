# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The areas of the engine that stage two calls, imported when they are needed.

One object to inject: tests replace it, and Python, slow to start under emulation, loads a part
only when its phase begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runner import Runner

if TYPE_CHECKING:
    from ..archive.packed import Packed
    from ..archive.restore import Order
    from ..layout.model import ResolvedFileSystem, ResolvedLayout
    from ..lifeboat.log import DiskJournal
    from ..lifeboat.model import Lifeboat, Part

Document = Mapping[str, Any]
Progress = Callable[[int, int], None]


class Parts:
    """Thin calls into the other areas."""

    def load_plan(self, document: Any, now: float | None) -> dict[str, Any]:
        """Return the plan if it is whole and, where ``now`` is given, not too old."""
        from ..plan import document as plans

        plan = plans.load(document)
        if now is not None:
            plans.check_expiry(plan, now)
        return plan

    def lifeboat(self, document: Any) -> Lifeboat:
        from ..lifeboat.model import Lifeboat

        return Lifeboat.from_document(document)

    def load_capture(self, document: Any) -> dict[str, Any]:
        """Return the capture if it has its shape: before the first write, not in the middle of ``configure``."""
        from ..capture.document import check

        return check(document, "capture.json")

    def check_proof(self, runner: Runner, folder: Path, plan: Document, capture: Document) -> None:
        """Check the bundle's signature, and that the plan is of this bundle and for this machine."""
        from ..bundle import proof

        proof.check(runner, folder, plan)
        proof.check_machine(plan, capture)

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

    def find_lifeboat(self, lifeboat: Lifeboat, identity: Document) -> str:
        from ..lifeboat.find import find

        return find(lifeboat, identity)

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

    def tear_down(self, runner: Runner, node: str, keep: Sequence[str], keep_at: Sequence[int]) -> None:
        from ..disk.signatures import tear_down

        tear_down(runner, node, keep=keep, keep_at=keep_at)

    def apply_table(self, runner: Runner, node: str, resolved: ResolvedLayout) -> None:
        from ..disk.table import apply

        apply(runner, node, resolved, "convert", relabel=True)

    def ensure_volumes(self, runner: Runner, node: str, resolved: ResolvedLayout) -> None:
        from ..volumes.apply import ensure

        # Whatever old bytes the new devices show: the disk is ours from the point of no return on.
        ensure(runner, node, resolved, "convert", replace=True)

    def forget_volumes(self, runner: Runner, node: str, resolved: ResolvedLayout, keep: Sequence[str]) -> None:
        from ..volumes.anew import forget

        forget(runner, node, resolved, keep)

    def activate(self, runner: Runner, resolved: ResolvedLayout) -> None:
        from ..volumes.anew import activate

        activate(runner, resolved)

    def make_file_systems(
        self,
        runner: Runner,
        node: str,
        resolved: ResolvedLayout,
        systems: Sequence[ResolvedFileSystem],
        keep: Sequence[str],
    ) -> None:
        from ..volumes.anew import make_file_systems

        make_file_systems(runner, node, resolved, systems, keep)

    def restore(self, runner: Runner, order: Order, progress: Progress) -> Document:
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

    def prepare_lifeboat(
        self, runner: Runner, node: str, resolved: ResolvedLayout, plan: Document, lifeboat: Lifeboat
    ) -> None:
        from ..boot.control import prepare_lifeboat

        prepare_lifeboat(runner, node, resolved, plan, lifeboat)

    def take_control(
        self, runner: Runner, node: str, resolved: ResolvedLayout, plan: Document, lifeboat: Lifeboat
    ) -> None:
        from ..boot.control import take_control

        take_control(runner, node, resolved, plan, lifeboat)

    def require_control(
        self, runner: Runner, node: str, resolved: ResolvedLayout, plan: Document, lifeboat: Lifeboat
    ) -> None:
        from ..boot.control import require_control

        require_control(runner, node, resolved, plan, lifeboat)

    def in_control(self, resolved: ResolvedLayout, plan: Document) -> bool:
        from ..boot.control import in_control

        return in_control(resolved, plan)

    def settle_after_return(self, runner: Runner, node: str, resolved: ResolvedLayout, plan: Document) -> None:
        from ..boot.control import settle_after_return

        settle_after_return(runner, node, resolved, plan)

    def withdraw(self, runner: Runner, node: str, resolved: ResolvedLayout, plan: Document) -> None:
        from ..boot.control import withdraw

        withdraw(runner, node, resolved, plan)

    def packed(self, node: str, lifeboat: Lifeboat) -> Packed:
        """Return the payload in the lifeboat as what a restore reads."""
        from ..lifeboat.disk import PackedPart

        return PackedPart(node, lifeboat.part("payload"))

    def create_journal(self, node: str, lifeboat: Lifeboat) -> DiskJournal:
        from ..lifeboat.log import create

        return create(node, lifeboat.part("journal"), lifeboat.run_id, lifeboat.plan_digest)

    def load_journal(self, node: str, lifeboat: Lifeboat) -> DiskJournal:
        from ..lifeboat.log import load

        return load(node, lifeboat.part("journal"), lifeboat.run_id, lifeboat.plan_digest)

    def require_places(self, node: str, lifeboat: Lifeboat, plan: Document, folder: Path, device: str) -> None:
        """Raise where a place is no longer the lifeboat's; its file lies in ``folder``, on ``device``."""
        from ..lifeboat import claim, own

        own.require(node, lifeboat, plan, folder / claim.FILE.name, device)

    def verify_part(self, node: str, part: Part, progress: Progress) -> None:
        from ..lifeboat.disk import verify_part

        verify_part(node, part, progress)

    def write_part(self, node: str, part: Part, source: Iterable[bytes], progress: Progress | None = None) -> None:
        from ..lifeboat.disk import write_part

        write_part(node, part, source, progress)

    def shred_part(self, node: str, part: Part, swaps: Sequence[Sequence[int]]) -> None:
        """Overwrite what of a part lies in the old system's swap, which only stage two can reach."""
        from ..lifeboat.own import shred_in_swap

        shred_in_swap(node, part, swaps)

    def read_part(self, node: str, part: Part) -> bytes:
        """Return a part whole; for the host's own, which is small."""
        from ..lifeboat.disk import read_extents

        return b"".join(map(bytes, read_extents(node, part.extents, part.size)))

    def copy_part(self, node: str, part: Part, target: Path, progress: Progress) -> None:
        """Copy a part into a file; whoever takes the file further compares its digest."""
        from ..lifeboat.disk import copy_part

        copy_part(node, part, target, progress)

    def flush(self, node: str, mounts: Sequence[str]) -> None:
        """Bring all that was written to the disk, and out of the disk's own cache; raises ``OSError``."""
        from ..archive.durable import sync_device, sync_file_system

        for mount in mounts:
            sync_file_system(Path(mount))
        sync_device(Path(node))

    def offer_old(self, dispatch: Path, plan: Document) -> None:
        """Make the old system the slot that the dispatcher falls back to."""
        from ..boot.kept_old import offer

        offer(dispatch, plan)

    def mark_trying(self, dispatch: Path, slot: str) -> None:
        from ..boot.install import mark_trying

        mark_trying(dispatch, slot)

    def hand_over(self, runner: Runner, node: str, resolved: ResolvedLayout, plan: Document) -> None:
        from ..boot.control import hand_over

        hand_over(runner, node, resolved, plan)

    def deactivate(self, runner: Runner, resolved: ResolvedLayout) -> None:
        from ..revive.disk import deactivate

        deactivate(runner, resolved)

    def check_revival(self, runner: Runner, node: str, resolved: ResolvedLayout, old: Document) -> None:
        """Raise now what a restore would raise too late; ``old`` is that of its plan."""
        from ..revive.disk import check

        check(runner, node, resolved, old)

    def clear(self, node: str, places: Sequence[Sequence[int]]) -> None:
        from ..revive.disk import clear

        clear(node, places)

    def map_root(self, runner: Runner, node: str, name: str, place: Document) -> None:
        from ..revive.disk import map_root

        map_root(runner, node, name, place)

    def unmap_root(self, runner: Runner, name: str) -> None:
        from ..revive.disk import unmap_root

        unmap_root(runner, name)

    def make_old_root(self, runner: Runner, device: str, root: Document) -> None:
        from ..revive.disk import make_argv

        runner.run(make_argv(device, root))

    def old_piece(self, folder: Path, number: int, wanted: Document) -> bytes:
        from ..revive.disk import piece

        return piece(folder, number, wanted)

    def put_back(self, node: str, start: int, content: bytes) -> None:
        from ..revive.disk import put_back

        put_back(node, start, content)
