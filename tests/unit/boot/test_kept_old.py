# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The old system as the good slot of the trial: offered, and forgotten at commit."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import (
    dispatcher,
    kept_old,
    mounts,
    records,
    slot_state,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.usage import Mount
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from tests.boot.machine import RUN_ID, make_plan
from tests.support.fake_runner import FakeRunner

KEPT = {
    "uuid": "0a0a0a0a-0000-4000-8000-00000000abcd",
    "kernel": "/boot/vmlinuz-5.10",
    "initrd": "/boot/initrd.img-5.10",
    "arguments": ["root=UUID=0a0a0a0a-0000-4000-8000-00000000abcd", "ro"],
    "title": "Debian GNU/Linux 11 (bullseye)",
}
PLAN = make_plan(keep_old=KEPT)


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dispatch file system as stage two leaves it: slot a on trial, the old system offered."""
    monkeypatch.setattr(kept_old, "settle", lambda path: None)
    folder = tmp_path / "dispatch"
    (folder / "grub").mkdir(parents=True)
    (folder / "grub/grub.cfg").write_text(dispatcher.render(PLAN))
    slot_state.write(folder, slot_state.mark_bad(slot_state.initial(("a", "b")), "a"))
    found = Mount("8:4", str(folder), "ext4", "/dev/sda4", "ro,relatime", "/")
    monkeypatch.setattr(mounts, "find", lambda path: found)
    kept_old.offer(folder, PLAN)
    slot_state.write(folder, slot_state.mark_trying(slot_state.read(folder).state, "a"))
    return folder


def forget(mount: Path) -> FakeRunner:
    runner = FakeRunner(handler=lambda argv, _stdin: None)
    kept_old.forget(runner, kept_old.look(mount, PLAN), mount, PLAN)
    return runner


def test_it_is_good_and_not_preferred(mount: Path) -> None:
    state = slot_state.read(mount).state
    assert (state.order, dict(state.slots), state.tries) == (("a", "b"), {"a": "trying", "b": "good"}, 3)
    record = records.read_slots(mount)["b"]
    assert (record.kind, record.run_id, record.title) == ("old", RUN_ID, KEPT["title"])
    assert "old system, Debian GNU/Linux 11" in (mount / "titles").read_text()
    # It is what is left when the tries are used up.
    assert slot_state.mark_bad(state, "a").choice() == "b"


def test_commit_forgets_it_and_a_second_time_does_nothing(mount: Path) -> None:
    slot_state.write(mount, slot_state.mark_good(slot_state.read(mount).state, "a"))
    runner = forget(mount)
    assert ("mount", "-o", "remount,rw", str(mount)) in runner.calls
    assert dict(slot_state.read(mount).state.slots) == {"a": "good", "b": "empty"}
    assert (mount / "grub/grub.cfg").read_text() == dispatcher.render(PLAN, with_old=False)
    assert "dr_boot_old" not in (mount / "grub/grub.cfg").read_text()
    assert "b" not in records.read_slots(mount)
    assert [one.event for one in records.read_outcomes(mount)] == ["removed"]
    assert not kept_old.look(mount, PLAN).changes
    assert forget(mount).calls == []


def test_a_cut_after_its_state_is_completed(mount: Path) -> None:
    slot_state.write(mount, slot_state.mark_good(slot_state.read(mount).state, "a"))
    slot_state.write(mount, slot_state.mark_empty(slot_state.read(mount).state, "b"))
    found = kept_old.look(mount, PLAN)
    assert (found.marked, found.offered) == (False, True)
    forget(mount)
    assert not kept_old.look(mount, PLAN).changes


def test_a_slot_that_is_good_by_now_is_left_alone(mount: Path) -> None:
    """An update has installed a bundle there since; a commit that comes late must not empty it."""
    forgotten = slot_state.mark_good(slot_state.read(mount).state, "a")
    slot_state.write(mount, forgotten)
    forget(mount)
    record = records.SlotRecord("b", "bundle", "gateway", "2", "va", "other", records.now())
    records.write_slot(mount, record)
    slot_state.write(mount, slot_state.mark_good(slot_state.read(mount).state, "b"))
    assert not kept_old.look(mount, PLAN).changes


def test_without_a_good_slot_it_is_not_let_go(mount: Path) -> None:
    slot_state.write(mount, slot_state.mark_bad(slot_state.read(mount).state, "a"))
    with pytest.raises(Fault, match=r"boot\.last_slot"):
        forget(mount)
    assert slot_state.read(mount).state.state_of("b") == "good"


def test_a_run_without_it(mount: Path) -> None:
    plain = make_plan()
    assert not kept_old.look(mount, plain).changes
    assert dispatcher.render(plain) == dispatcher.render(PLAN, with_old=False)
    assert "dr_boot_old" in dispatcher.render(PLAN)


@pytest.mark.parametrize("spoilt", [{"kernel": "/boot/a b"}, {"arguments": ["a;reboot"]}, {"uuid": "$root"}])
def test_nothing_unsafe_gets_into_the_script(spoilt: dict) -> None:
    with pytest.raises(Fault, match=r"boot\.argument_unsafe"):
        dispatcher.render(make_plan(keep_old={**KEPT, **spoilt}))
