# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Slot B is given up: its state first, then its group, its signature and its partition."""

from __future__ import annotations

from ansible_collections.dualroot.migrate.plugins.module_utils.disk import table
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import is_due
from ansible_collections.dualroot.migrate.plugins.module_utils.revive import slot_b
from ansible_collections.dualroot.migrate.plugins.module_utils.volumes import lvm

from tests.support.fake_runner import FakeRunner
from tests.support.layouts import resolved


def volume(node, group):
    class Volume:
        pass

    one = Volume()
    one.node, one.group = node, group
    return one


def test_what_commit_made_goes_in_order(tmp_path, monkeypatch):
    layout = resolved()
    (gone,) = [part for part in layout.partitions if not is_due(part.at, "convert")]
    node = f"/dev/vda{gone.number}"
    (tmp_path / "dev").mkdir()
    (tmp_path / node.lstrip("/")).touch()
    done = []
    volumes = [volume("/dev/vda3", "VA"), volume(node, "VB"), volume("/dev/vdb1", "other")]
    monkeypatch.setattr(lvm, "physical_volumes", lambda runner: volumes)
    monkeypatch.setattr(slot_b.slots, "mark", lambda runner, wish, mount: done.append((wish.slot, wish.state)))
    monkeypatch.setattr(
        table,
        "apply_table",
        lambda runner, node, wanted, retire, root: done.append((wanted.entries, retire)),
    )
    runner = FakeRunner(handler=lambda argv, stdin: done.append(tuple(argv)))
    monkeypatch.setattr(slot_b.sysfs, "ROOT", tmp_path)
    slot_b.remove(runner, "/dev/vda", layout, tmp_path)
    whole = table.target(layout, "commit").entries
    assert done == [
        ("lvm", "vgremove", "--yes", "--force", "VB"),
        ("wipefs", "--all", "--force", node),
        (
            tuple(one for one in whole if one.number != gone.number),
            tuple(one for one in whole if one.number == gone.number),
        ),
    ]


def test_the_slot_is_empty_before_anything_is_removed(monkeypatch):
    done = []
    monkeypatch.setattr(
        slot_b.slots, "mark", lambda runner, wish, mount: done.append((wish.slot, wish.state, wish.event))
    )
    monkeypatch.setattr(slot_b, "remove", lambda runner, node, layout: done.append(node))
    slot_b.give_up(FakeRunner(), "/dev/vda", resolved(), "r1")
    assert done == [("b", "empty", "removed"), "/dev/vda"]
