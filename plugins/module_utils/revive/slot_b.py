# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Give slot B up, so that the lifeboat has room: the reverse of what ``commit`` has made; and make it again.

Slot A runs and stays as it is. A restore that is taken back, or ends before its first write, leaves no host without
room for its next update.
"""

from __future__ import annotations

from pathlib import Path

from ..boot import records, slot_state, slots
from ..disk import sysfs, table
from ..disk.gpt import Gpt
from ..disk.nodes import partition_node
from ..disk.read import read_disk
from ..faults import revive as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedLayout, ResolvedPartition, is_due
from ..runner import Runner
from ..verify.look import find_disk
from ..volumes import apply, lvm, steps

SLOT = "b"
REASON = "given up for the lifeboat of a restore"


def give_up(runner: Runner, node: str, layout: ResolvedLayout, run_id: str, dispatch: Path = slots.DISPATCH) -> None:
    """Mark slot B empty, then remove its volume group and its partition; each a second time changes nothing.

    Raises ``revive.slot``, before anything is changed, where slot B is the old system that is kept until ``commit``.
    """
    kept = {entry.uuid.upper() for entry in table.retired(layout, "commit")}
    if kept and kept & {entry.uuid.upper() for entry in read_disk(node).entries}:
        raise Fault(kinds.SLOT, slot="a", state="good, but its migration is not committed: the old system is kept")
    wish = slots.Wish(slot=SLOT, state="empty", event="removed", reason=REASON, run_id=run_id)
    slots.mark(runner, wish, dispatch)
    remove(runner, node, layout)


def is_given_up(dispatch: Path = slots.DISPATCH) -> bool:
    """Tell whether giving slot B up is the last that happened to it."""
    last = records.last_outcome(dispatch, SLOT)
    return last is not None and (last.event, last.reason) == ("removed", REASON)


def make(runner: Runner, dispatch: Path = slots.DISPATCH, root: Path = sysfs.ROOT) -> None:
    """Make on the disk what ``commit`` made there, by the layout that the host keeps; slot B stays empty.

    Nothing else is looked at: what the running system's owner has made of its volumes since is his. A second time
    completes what a cut has left. Raises ``revive.slot_b_not_made`` and the faults of table and volumes.
    """
    document = records.layout(dispatch)
    if not document:
        raise Fault(kinds.SLOT_B_NOT_MADE, problem="the host does not keep its layout")
    layout = ResolvedLayout.from_document(document)
    node = find_disk(layout.disk_guid, root)
    if not node:
        raise Fault(kinds.SLOT_B_NOT_MADE, problem=f"no disk has the partition table {layout.disk_guid}")
    table.apply_table(runner, node, table.target(layout, "commit"), root=root)
    apply.make(runner, target(layout, node), root=root)
    last = records.last_outcome(dispatch, SLOT)
    with slot_state.locked(dispatch), slots.writable(runner, dispatch):
        records.tell(dispatch, SLOT, last.run_id if last else "", "made", "the restore was taken back")


def target(layout: ResolvedLayout, node: str) -> steps.Target:
    """Return the volume groups of the partitions that ``commit`` makes, and the file systems on them."""
    whole = steps.target(layout, node, "commit")
    nodes = _nodes(layout, node)
    groups = tuple(group for group in whole.groups if set(group.devices) <= nodes)
    volumes = {layout.device(node, volume.id) for group in groups for volume in group.volumes}
    return steps.Target(groups, tuple(one for one in whole.systems if one.device in volumes | nodes))


def remove(runner: Runner, node: str, layout: ResolvedLayout, root: Path = sysfs.ROOT) -> None:
    """Remove what ``commit`` has made on the disk; the table is switched by one sector write."""
    gone = _of_commit(layout)
    nodes = _nodes(layout, node)
    groups = {group.name for group in layout.volume_groups if not is_due(group.at, "convert")}
    for name in sorted({one.group for one in lvm.physical_volumes(runner) if one.node in nodes} & groups):
        runner.run(["lvm", "vgremove", "--yes", "--force", name])
    for one in sorted(nodes):
        if (root / one.lstrip("/")).exists():
            runner.run(["wipefs", "--all", "--force", one])
    whole = table.target(layout, "commit").entries
    numbers = {part.number for part in gone}
    left = Gpt(layout.disk_guid, tuple(entry for entry in whole if entry.number not in numbers))
    retire = tuple(entry for entry in whole if entry.number in numbers)
    table.apply_table(runner, node, left, retire=retire, root=root)


def _nodes(layout: ResolvedLayout, node: str) -> set[str]:
    return {partition_node(node, part.number) for part in _of_commit(layout)}


def _of_commit(layout: ResolvedLayout) -> list[ResolvedPartition]:
    return [part for part in layout.partitions if not is_due(part.at, "convert")]
