# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Slot B is given up: its state first, then its group, its signature and its partition. It is made again after that."""

from __future__ import annotations

import contextlib
import types

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import records
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import table
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import is_due
from ansible_collections.dualroot.migrate.plugins.module_utils.revive import slot_b
from ansible_collections.dualroot.migrate.plugins.module_utils.volumes import lvm

from tests.support.fake_runner import FakeRunner
from tests.support.layouts import keeping, resolved


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


def test_the_old_system_that_is_kept_is_not_given_up(monkeypatch):
    layout = keeping()
    (kept,) = table.retired(layout, "commit")
    done = []
    monkeypatch.setattr(slot_b.slots, "mark", lambda runner, wish, mount: done.append(wish.state))
    monkeypatch.setattr(slot_b, "remove", lambda runner, node, layout: done.append(node))
    there = [(kept,), ()]
    monkeypatch.setattr(slot_b, "read_disk", lambda node: types.SimpleNamespace(entries=there.pop(0)))
    with pytest.raises(Fault) as caught:
        slot_b.give_up(FakeRunner(), "/dev/vda", layout, "r1")
    assert (caught.value.id, done) == ("revive.slot", [])
    # Once commit has let go of it, it is not there any more.
    slot_b.give_up(FakeRunner(), "/dev/vda", layout, "r1")
    assert done == ["empty", "/dev/vda"]


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A dispatch file system whose host keeps its layout and has given slot B up."""
    records.install_layout(tmp_path, resolved().to_document())
    records.tell(tmp_path, "b", "r1", "removed", slot_b.REASON)
    records.tell(tmp_path, "a", "r2", "restarted")
    monkeypatch.setattr(slot_b.slots, "writable", lambda runner, mount: contextlib.nullcontext())
    return tmp_path


def test_it_is_made_again_as_commit_made_it(host, monkeypatch):
    done = []
    layout = resolved()
    monkeypatch.setattr(slot_b, "find_disk", lambda guid, root: "/dev/vda" if guid == layout.disk_guid else "")
    monkeypatch.setattr(
        table, "apply_table", lambda runner, node, wanted, root: done.append((node, "table", wanted.entries))
    )
    monkeypatch.setattr(
        slot_b.apply,
        "make",
        lambda runner, wanted, root: done.append(
            [one.name for one in wanted.groups] + [one.system.on for one in wanted.systems]
        ),
    )
    assert slot_b.is_given_up(host)
    slot_b.make(FakeRunner(), host)
    assert done == [
        ("/dev/vda", "table", table.target(layout, "commit").entries),
        # Nothing of what the slot that runs may have changed since.
        ["VB", "root_b"],
    ]
    assert not slot_b.is_given_up(host)
    last = records.read_outcomes(host)[-1]
    assert (last.slot, last.run_id, last.event) == ("b", "r1", "made")


@pytest.mark.parametrize("lost", ["layout", "disk"])
def test_without_layout_or_disk_it_stays_given_up(host, monkeypatch, lost):
    monkeypatch.setattr(slot_b, "find_disk", lambda guid, root: "")
    if lost == "layout":
        (host / records.LAYOUT).unlink()
    with pytest.raises(Fault) as caught:
        slot_b.make(FakeRunner(), host)
    assert caught.value.id == "revive.slot_b_not_made"
    assert slot_b.is_given_up(host)


@pytest.mark.parametrize(
    ("event", "reason"),
    [("installed", ""), ("made", ""), ("removed", "the new system was committed"), ("bad", slot_b.REASON)],
)
def test_what_happened_since_is_not_undone(host, event, reason):
    records.tell(host, "b", "r3", event, reason)
    assert not slot_b.is_given_up(host)


def test_a_host_that_gave_nothing_up(tmp_path):
    assert not slot_b.is_given_up(tmp_path)
