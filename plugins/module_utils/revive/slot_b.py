# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Give slot B up, so that the lifeboat has room: the reverse of what ``commit`` has made.

Slot A runs and stays as it is. No playbook makes slot B again: a restore that has gone so far is to be made.
"""

from __future__ import annotations

from pathlib import Path

from ..boot import slots
from ..disk import sysfs, table
from ..disk.gpt import Gpt
from ..disk.nodes import partition_node
from ..layout.model import ResolvedLayout, ResolvedPartition, is_due
from ..runner import Runner
from ..volumes import lvm

SLOT = "b"
REASON = "given up for the lifeboat of a restore"


def give_up(runner: Runner, node: str, layout: ResolvedLayout, run_id: str, dispatch: Path = slots.DISPATCH) -> None:
    """Mark slot B empty, then remove its volume group and its partition; each a second time changes nothing."""
    wish = slots.Wish(slot=SLOT, state="empty", event="removed", reason=REASON, run_id=run_id)
    slots.mark(runner, wish, dispatch)
    remove(runner, node, layout)


def remove(runner: Runner, node: str, layout: ResolvedLayout, root: Path = sysfs.ROOT) -> None:
    """Remove what ``commit`` has made on the disk; the table is switched by one sector write."""
    gone = _of_commit(layout)
    nodes = {partition_node(node, part.number) for part in gone}
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


def _of_commit(layout: ResolvedLayout) -> list[ResolvedPartition]:
    return [part for part in layout.partitions if not is_due(part.at, "convert")]
