# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When the watchdog is fed, when not, and when it is given up; no device, no thread."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two import watchdog
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two.status import Status

from .stage import Stage, plan


class FakeDevice(watchdog.Device):
    def __init__(self, stoppable: bool = True) -> None:
        super().__init__(Path("/nowhere"), Path("/nowhere"))
        self.events: list[str] = []
        self.stoppable = stoppable
        self.on = False

    @property
    def armed(self) -> bool:
        return self.on

    @property
    def can_be_disarmed(self) -> bool:
        return self.stoppable

    def arm(self) -> None:
        self.on = True
        self.events.append("arm")

    def feed(self) -> None:
        assert self.on
        self.events.append("feed")

    def disarm(self) -> None:
        if self.on:
            self.events.append("disarm")
        self.on = False


class Kennel:
    """A watchdog whose turns the test makes; ``after`` moves the clock and takes what happened."""

    def __init__(self, tmp_path: Path, *, stoppable: bool = True, given: float | None = None) -> None:
        self.stage = Stage(tmp_path)
        self.status = Status(self.stage.machine, "r")
        self.status.begin_phase("restore")
        self.device = FakeDevice(stoppable)
        self.can_restart = True
        self.dog = watchdog.Watchdog(
            self.stage.machine, self.status, plan(), self.device, lambda: self.can_restart, given
        )
        self.device.arm()

    def after(self, seconds: float) -> list[str]:
        self.device.events.clear()
        self.stage.now += seconds
        self.dog.look()
        return list(self.device.events)


def test_is_fed_as_long_as_the_work_moves(tmp_path: Path) -> None:
    kennel = Kennel(tmp_path)
    for done in range(10):
        kennel.status.progress(done + 1, 100)
        assert kennel.after(200) == ["feed"]
    kennel.status.begin_step("next")
    assert kennel.after(299) == ["feed"]


def test_is_not_fed_when_nothing_moves(tmp_path: Path) -> None:
    kennel = Kennel(tmp_path)
    kennel.status.begin_step("volumes")
    assert kennel.after(301) == []
    # The same number of bytes again is no progress.
    kennel.status.progress(0, 100)
    assert kennel.after(10) == []
    assert sum("has not moved" in line for line in kennel.stage.lines) == 1
    assert "restore/volumes has not moved for 301 s" in "\n".join(kennel.stage.lines)
    kennel.status.progress(1, 100)
    assert kennel.after(1) == ["feed"]


def test_is_fed_while_the_go_is_waited_for(tmp_path: Path) -> None:
    kennel = Kennel(tmp_path)
    kennel.status.show(state="awaiting")
    assert kennel.after(50000) == ["feed"]


def test_ends_a_hang_on_the_way_back_too(tmp_path: Path) -> None:
    kennel = Kennel(tmp_path)
    kennel.status.show(state="returning")
    assert kennel.after(299) == ["feed"]
    assert kennel.after(2) == []


@pytest.mark.parametrize("state", ["holding", "recovery"])
def test_is_given_up_while_a_person_is_waited_for(tmp_path: Path, state: str) -> None:
    kennel = Kennel(tmp_path)
    kennel.status.show(state=state)
    assert kennel.after(50000) == ["disarm"]
    assert kennel.after(1) == []
    kennel.status.show(state="running")
    assert kennel.after(1) == ["arm", "feed"]


def test_is_given_up_where_there_is_nothing_to_start(tmp_path: Path) -> None:
    kennel = Kennel(tmp_path)
    kennel.can_restart = False
    assert kennel.after(1) == ["disarm"]
    assert kennel.after(50000) == []


def test_one_that_cannot_be_stopped_is_fed_for_ever(tmp_path: Path) -> None:
    kennel = Kennel(tmp_path, stoppable=False)
    kennel.can_restart = False
    assert kennel.after(50000) == ["feed"]
    kennel.can_restart = True
    kennel.status.show(state="holding")
    assert kennel.after(50000) == ["feed"]


def test_the_kernel_line_may_set_the_limit(tmp_path: Path) -> None:
    kennel = Kennel(tmp_path, given=40.0)
    assert kennel.after(39) == ["feed"]
    assert kennel.after(2) == []
    assert watchdog.given_limit({"dualroot.watchdog": "40"}) == 40.0
    assert watchdog.given_limit({"dualroot.watchdog": "0"}) == 0.0
    assert watchdog.given_limit({"dualroot.watchdog": "x"}) is None
    assert watchdog.given_limit({}) is None


def test_limits_follow_the_sizes_of_the_plan() -> None:
    small = plan()
    assert {watchdog.limit(small, phase) for phase in ("load", "restore", "seal")} == {300.0}
    # The network alone may take that long, interface by interface.
    assert watchdog.limit(small, "attach") == 1200.0
    large = plan(
        payload={**small["payload"], "size": 8 << 30, "unpacked_bytes": 20 << 30},
        predicted={"phases": {"restore": 400, "configure": 100}},
        disk={**small["disk"], "size_bytes": 2000 << 30},
    )
    assert watchdog.limit(large, "load") == 2048.0
    assert watchdog.limit(large, "volumes") == 2000.0
    assert watchdog.limit(large, "restore") == 5120.0
    assert watchdog.limit(large, "configure") == 400.0


def test_the_program_arms_it_and_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeDevice()
    monkeypatch.setattr(watchdog, "device", lambda _root: device)
    stage = Stage(tmp_path).go()
    assert stage.run() == 0
    assert (device.events[0], device.events[-1], device.on) == ("arm", "disarm", False)
    off = Stage(tmp_path / "off").go()
    off.write("proc/cmdline", "dualroot.mode=convert dualroot.watchdog=0\n")
    device.events.clear()
    assert off.run() == 0
    assert device.events == []


def test_a_machine_without_one_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path).go()
    assert stage.run() == 0
    assert "dualroot: no watchdog: No such file or directory" in stage.lines


def test_the_device_is_told_to_stop(tmp_path: Path) -> None:
    path, no_way_out = tmp_path / "watchdog", tmp_path / "nowayout"
    path.touch()
    device = watchdog.Device(path, no_way_out)
    assert device.can_be_disarmed
    no_way_out.write_text("1\n")
    assert not device.can_be_disarmed
    device.arm()
    assert (device.armed, device.timeout) == (True, 60.0)
    device.feed()
    device.disarm()
    device.disarm()
    assert (device.armed, path.read_bytes()) == (False, b"\0V")
