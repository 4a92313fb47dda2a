# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole program with a lifeboat, cut off anywhere and started again; a plain file stands for the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults import lifeboat as kinds
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import log
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two.status import Status
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two.work import PATIENCE, TRIES

from .stage import KERNEL, MIB, PAYLOAD, SWAP, Stage, broken, lifeboat_of, lifeboat_plan


class Cut(BaseException):
    """The power is gone; no code of the program sees that."""


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut ends no thread of this process: none is begun."""
    monkeypatch.setattr(Status, "start_sampling", lambda _status: None)
    monkeypatch.setattr(Status, "stop_sampling", lambda _status: None)


def stage_of(tmp_path: Path, **changes: object) -> Stage:
    stage = Stage(tmp_path, lifeboat_plan(**changes)).go()  # type: ignore[arg-type]
    stage.give_lifeboat()
    return stage


def cut_at(stage: Stage, call: str) -> None:
    """Run until a part is called, and cut there."""

    def cut() -> None:
        stage.parts.when.clear()
        raise Cut

    stage.parts.when[call] = cut
    with pytest.raises(Cut):
        stage.run()


FORWARD = [
    "take_control",
    "settle_after_return",
    "tear_down",
    "apply_table",
    "ensure_volumes",
    "restore new",
    "configure networkd",
    "install_boot dispatch",
    "mark_trying a",
    "hand_over",
]


def verbs(stage: Stage) -> list[str]:
    """Return what of the work after the point of no return was called, without the disk's name."""
    return [verb for call in stage.parts.calls for verb in FORWARD if call.startswith(verb)]


def test_converts_without_a_byte_of_the_payload_in_memory(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)

    assert stage.run() == 0

    calls = [call for call in stage.parts.calls if not call.startswith(("check_proof", "login", "network"))]
    assert calls == [
        "find_disk",
        "places /dev/vda1",
        "verify kernel",
        "verify initrd",
        "verify payload",
        "create_journal /dev/vda",
        "prepare_lifeboat /dev/vda",
        "find_disk",
        "describe_change",
        "check_ahead",
        "disk_users /dev/vda",
        "take_control /dev/vda",
        "settle_after_return /dev/vda",
        "tear_down /dev/vda",
        "apply_table /dev/vda",
        "ensure_volumes /dev/vda",
        f"restore new {stage.plan['payload']['sha256'][:4]}",
        "configure networkd",
        "install_boot dispatch",
        "mark_trying a",
        "hand_over /dev/vda",
    ]
    assert not any("tmpfs" in call for call in stage.runner.calls)
    assert not stage.places.payload.exists()
    assert stage.status["state"] == "sealed"
    new = stage.places.new
    assert not (new / "boot/dispatch/.environment").exists()
    folder = new / "var/lib/dualroot/runs" / stage.plan["run_id"]
    assert json.loads((folder / "lifeboat.json").read_text()) == lifeboat_of(stage.plan).to_document()
    assert (folder / "lifeboat.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((folder / "result.json").read_text())["resumed"] == 0


def test_a_panic_restarts_where_there_is_something_to_start(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    seen: list[str] = []
    setting = tmp_path / "proc/sys/kernel/panic_on_oops"
    stage.parts.when["tear_down /dev/vda"] = lambda: seen.append(setting.read_text())
    assert stage.run() == 0
    assert seen == ["1"]


def test_the_journal_says_done_only_after_the_disk_has_it(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    lifeboat = lifeboat_of(stage.plan)
    seen: list[tuple[int, bool]] = []

    def look(*_arguments: object) -> None:
        records = log.load(stage.parts.disk, lifeboat.part("journal"), lifeboat.run_id, lifeboat.plan_digest).records
        made = [one for one in records if (one["step"], one["event"]) == ("table", "done")]
        seen.append((len(stage.parts.flushed), bool(made)))

    stage.parts.when["apply_table /dev/vda"] = look
    stage.parts.when["ensure_volumes /dev/vda"] = look
    assert stage.run() == 0
    # Before: no_return, firmware and signatures are flushed. Afterwards: one more, and then noted.
    assert seen == [(3, False), (4, True)]
    assert stage.parts.flushed[0] == ("/dev/vda", 0)
    assert stage.parts.flushed[-1] == ("/dev/vda", 0)
    assert max(count for _node, count in stage.parts.flushed) == 4


@pytest.mark.parametrize("call", FORWARD[1:])
def test_a_cut_at_any_step_is_gone_on_from(tmp_path: Path, call: str) -> None:
    stage = stage_of(tmp_path)
    full = {"restore new": f"restore new {stage.plan['payload']['sha256'][:4]}"}
    cut_at(stage, full.get(call, call if " " in call else f"{call} /dev/vda"))

    stage.cut()
    assert stage.run() == 0

    assert (stage.status["state"], stage.status["resumed"], stage.reboots) == ("sealed", 1, 1)
    assert "find_lifeboat S1" in stage.parts.calls
    assert "load_journal /dev/vdb" in stage.parts.calls
    assert not {"find_disk", "describe_change", "create_journal /dev/vdb"} & set(stage.parts.calls)
    assert verbs(stage) == FORWARD[FORWARD.index(call) :]
    assert ("forget_volumes /dev/vdb" in stage.parts.calls) == (call == "ensure_volumes")
    fresh = "make_file_systems root_a dispatch data image"
    assert (fresh in stage.parts.calls) == (call == "restore new")
    assert stage.parts.calls.index("activate") < len(stage.parts.calls)
    result = stage.places.new / "var/lib/dualroot/runs" / stage.plan["run_id"] / "result.json"
    document = json.loads(result.read_text())
    assert document["resumed"] == 1
    assert [one["name"] for one in document["phases"]][:4] == ["attach", "load", "await", "partition"]


def test_a_cut_between_the_write_and_its_note_goes_forward(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    # Control was taken, and nothing else was done: not even the note that it was.
    cut_at(stage, "take_control /dev/vda")
    stage.cut()
    stage.now = stage.plan["expires"] + 5.0
    assert stage.run() == 0
    assert verbs(stage) == FORWARD
    assert stage.places.past_return.exists()


def test_cut_twice_in_the_same_step(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    restore = f"restore new {stage.plan['payload']['sha256'][:4]}"
    for _number in range(2):
        cut_at(stage, restore)
        stage.cut()
    assert stage.run() == 0
    assert stage.status["resumed"] == 2
    assert verbs(stage) == FORWARD[FORWARD.index("restore new") :]


def test_starting_again_without_progress_ends_with_a_person(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    for _number in range(11):
        cut_at(stage, "ensure_volumes /dev/vda" if stage.boots == 1 else "ensure_volumes /dev/vdb")
        stage.cut()
    seen: list[dict[str, object]] = []

    def person() -> None:
        seen.append(stage.status)
        (stage.places.run / "retry").touch()

    stage.at.append((stage.now + 3000, person))

    assert stage.run() == 0

    (held,) = seen
    assert (held["state"], held["resumed"]) == ("holding", 11)
    assert held["fault"]["id"] == "lifeboat.stuck"  # type: ignore[index]
    assert "partition/table" in held["fault"]["what"]  # type: ignore[index]
    assert stage.status["state"] == "sealed"


def held_in_volumes(tmp_path: Path) -> Stage:
    """Return a stage whose volumes cannot be made by this start of the machine, but by the next one."""
    stage = stage_of(tmp_path)
    stage.parts.faults["ensure_volumes /dev/vda"] = [broken() for _turn in range(TRIES)]
    return stage


def test_where_nobody_comes_it_begins_again_from_the_lifeboat(tmp_path: Path) -> None:
    stage = held_in_volumes(tmp_path)
    began = stage.now

    assert stage.run() == 0

    assert (stage.reboots, stage.status["state"]) == (1, "running")
    assert stage.now - began > PATIENCE
    assert any("in 15 minutes the lifeboat starts again" in line for line in stage.lines)
    # Read back before the restart, everything that the next start needs.
    after = stage.parts.calls[stage.parts.calls.index("ensure_volumes /dev/vda") :]
    assert [call for call in after if call.startswith("verify")] == ["verify kernel", "verify initrd", "verify payload"]

    stage.cut()
    assert stage.run() == 0
    assert (stage.status["state"], stage.status["resumed"], stage.status["fault"]) == ("sealed", 1, None)
    assert verbs(stage) == FORWARD[FORWARD.index("ensure_volumes") :]


@pytest.mark.parametrize("damaged", ["kernel", "host"])
def test_with_a_damaged_lifeboat_it_waits_for_a_person(tmp_path: Path, damaged: str) -> None:
    stage = held_in_volumes(tmp_path)
    (first, *_more) = lifeboat_of(stage.plan).part(damaged).extents

    def put(content: bytes) -> bytes:
        with stage.parts.disk.open("r+b") as file:
            file.seek(first.start)
            before = file.read(len(content))
            file.seek(first.start)
            file.write(content)
        return before

    lost: list[bytes] = []
    stage.at.append((stage.now + 600, lambda: lost.append(put(b"!"))))
    seen: list[dict[str, object]] = []

    def person() -> None:
        seen.append(stage.status)
        put(lost[0])
        (stage.places.run / "retry").touch()

    stage.at.append((stage.now + 9 * PATIENCE, person))

    assert stage.run() == 0

    assert (seen[0]["state"], seen[0]["phase"]) == ("holding", "volumes")
    assert any("no restart: " in line and damaged in line for line in stage.lines)
    # The one restart is that into the new system.
    assert (stage.status["state"], stage.reboots) == ("sealed", 1)


def test_it_restarts_at_once_and_writes_nothing_before(tmp_path: Path) -> None:
    stage = held_in_volumes(tmp_path)
    stage.write("proc/sysrq-trigger", "")
    assert stage.run() == 0
    assert (tmp_path / "proc/sysrq-trigger").read_text() == "b"
    # Reading was the last.
    assert stage.parts.calls[-1] == "verify payload"


@pytest.mark.parametrize("call", ["require_control /dev/vda", "load_journal /dev/vda"])
def test_what_would_not_come_back_is_not_restarted(tmp_path: Path, call: str) -> None:
    stage = held_in_volumes(tmp_path)
    stage.parts.faults[call] = [broken("the boot path"), broken("the boot path")]
    seen: list[tuple[str, int]] = []
    stage.at.append((stage.now + 2.5 * PATIENCE, lambda: seen.append((str(stage.status["state"]), stage.reboots))))

    assert stage.run() == 0

    # Asked again each time: what cannot be read now may be there later.
    assert seen == [("holding", 0)]
    assert stage.parts.calls.count(call) == 3
    assert stage.reboots == 1


def test_who_comes_while_the_lifeboat_is_read_is_not_restarted(tmp_path: Path) -> None:
    stage = held_in_volumes(tmp_path)
    later: list[int] = []

    def come() -> None:
        (stage.places.run / "hold").touch()
        stage.at.append((stage.now + 5 * PATIENCE, lambda: later.append(stage.reboots)))
        stage.at.append((stage.now + 5 * PATIENCE + 1, (stage.places.run / "retry").touch))

    stage.parts.when["require_control /dev/vda"] = come
    assert stage.run() == 0
    assert later == [0]
    assert (stage.status["state"], stage.reboots) == ("sealed", 1)


@pytest.mark.parametrize("sign", ["run/dualroot/hold", "dev/pts/0"])
def test_a_person_can_keep_it_from_starting_again(tmp_path: Path, sign: str) -> None:
    stage = held_in_volumes(tmp_path)
    (tmp_path / "dev/pts").mkdir(parents=True)
    stage.at.append((stage.now + 600, lambda: stage.write(sign, "")))
    seen: list[tuple[str, int]] = []

    def person() -> None:
        seen.append((str(stage.status["state"]), stage.parts.calls.count("ensure_volumes /dev/vda")))
        (stage.places.run / "retry").touch()

    stage.at.append((stage.now + 9 * PATIENCE, person))
    assert stage.run() == 0
    # Nothing is done behind the back of who works on the disk.
    assert seen == [("holding", TRIES)]
    assert (stage.status["state"], stage.reboots) == ("sealed", 1)


def test_progress_forgives_earlier_starts(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    for number in range(18):
        call = "ensure_volumes" if number < 9 else "configure networkd"
        cut_at(stage, call if " " in call else f"{call} /dev/vd{'a' if stage.boots == 1 else 'b'}")
        stage.cut()
    assert stage.run() == 0
    assert (stage.status["resumed"], stage.status["state"]) == (18, "sealed")


def test_a_fault_after_the_return_is_in_the_journal_on_the_disk(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    stage.parts.faults["ensure_volumes /dev/vda"] = [broken("lvm") for _turn in range(3)]
    stage.at.append((stage.now + 600, (stage.places.run / "retry").touch))
    assert stage.run() == 0
    lifeboat = lifeboat_of(stage.plan)
    records = log.load(stage.parts.disk, lifeboat.part("journal"), lifeboat.run_id, lifeboat.plan_digest).records
    failed = [one["detail"]["id"] for one in records if one["event"] == "fail"]
    assert failed == ["command.failed"] * 3
    assert stage.parts.calls.count("forget_volumes /dev/vda") == 3


def test_a_second_start_of_the_program_alone_is_no_resume(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    stage.parts.faults["configure networkd"] = [SystemExit(9)]  # type: ignore[list-item]
    with pytest.raises(SystemExit):
        stage.run()
    stage.parts.calls.clear()
    assert stage.run() == 0
    assert verbs(stage) == FORWARD[FORWARD.index("configure networkd") :]
    assert "find_lifeboat S1" not in stage.parts.calls
    assert stage.status["resumed"] == 0


def test_control_that_is_not_taken_leaves_the_old_system(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    stage.parts.faults["take_control /dev/vda"] = [broken("LBA 0")]
    assert stage.run() == 1
    assert stage.result_in_old["outcome"] == "returned"
    assert not stage.places.past_return.exists()
    assert verbs(stage) == ["take_control"]


def test_a_disk_that_is_gone_after_a_cut_is_waited_for(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    cut_at(stage, "tear_down /dev/vda")
    stage.cut()
    stage.parts.faults["find_lifeboat S1"] = [broken("no disk") for _turn in range(3)]
    stage.at.append((stage.now + 5000, (stage.places.run / "retry").touch))
    assert stage.run() == 0
    assert stage.reboots == 1


def test_a_disk_that_comes_back_later_is_found_without_a_person(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    cut_at(stage, "tear_down /dev/vda")
    stage.cut()
    stage.parts.faults["find_lifeboat S1"] = [broken("no disk") for _turn in range(7)]
    began = stage.now
    assert stage.run() == 0
    assert (stage.reboots, stage.status["fault"]) == (1, None)
    assert 600 <= stage.now - began < 1200, "two waits of five minutes"


def test_a_lifeboat_that_a_person_starts_too_early_returns(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, firmware="uefi")
    cut_at(stage, "disk_users /dev/vda")
    stage.cut()
    assert stage.run() == 1
    assert (stage.status["state"], stage.status["fault"]["id"]) == ("returning", "lifeboat.too_early")
    assert stage.result_in_old["outcome"] == "returned"
    assert stage.parts.calls[-2:] == ["withdraw /dev/vdb", "shred host 0"]
    assert (verbs(stage), stage.reboots, stage.places.past_return.exists()) == ([], 1, False)


def test_a_lifeboat_in_control_goes_forward_under_uefi_too(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, firmware="uefi")
    cut_at(stage, "take_control /dev/vda")
    stage.cut()
    assert stage.run() == 0
    assert verbs(stage) == FORWARD


def test_a_note_of_the_resume_that_fails_loses_no_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(tmp_path)
    cut_at(stage, "configure networkd")
    stage.cut()
    append, broke = log.DiskJournal.append, [broken("disk")]

    def once(journal: log.DiskJournal, document: dict[str, object], *, needed: bool = True) -> None:
        if document["event"] == "resume" and broke:
            raise broke.pop()
        append(journal, document, needed=needed)

    monkeypatch.setattr(log.DiskJournal, "append", once)
    assert stage.run() == 0
    assert not broke
    assert verbs(stage) == FORWARD[FORWARD.index("configure networkd") :]


@pytest.mark.parametrize("name", ["kernel", "payload", "host"])
def test_a_damaged_part_returns(tmp_path: Path, name: str) -> None:
    stage = stage_of(tmp_path)
    start = lifeboat_of(stage.plan).part(name).extents[0].start
    with stage.parts.disk.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff")
    assert stage.run() == 1
    assert (stage.status["fault"]["id"], stage.status["fault"]["phase"]) == ("lifeboat.damaged", "load")
    assert stage.result_in_old["fault"]["id"] == "lifeboat.damaged"
    assert verbs(stage) == []
    # Its places may hold others' data by now.
    assert not any(call.startswith(("create_journal", "prepare_lifeboat")) for call in stage.parts.calls)


def test_what_waits_for_swap_is_written_by_stage_two(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lifeboat_plan(swaps=[SWAP])).go()
    stage.give_lifeboat(stowed=("kernel", "initrd", "host"))
    assert stage.run() == 0
    assert [call for call in stage.parts.calls if call.startswith("write")] == ["write payload"]


def test_the_secret_in_swap_is_overwritten_on_the_way_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lifeboat_plan(swaps=[SWAP]))
    stage.give_lifeboat()
    assert stage.run() == 1
    assert stage.status["fault"]["id"] == "stage_two.no_go"
    assert stage.parts.calls[-1] == "shred host 1"


def test_a_place_of_somebody_else_is_never_written_to(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lifeboat_plan(swaps=[SWAP])).go()
    stage.give_lifeboat()
    stage.parts.faults["places /dev/vda1"] = [Fault(kinds.PLACE_TAKEN, start=0, end=1, node="/dev/vda", user="x")]
    assert stage.run() == 1
    assert stage.result_in_old["fault"]["id"] == "lifeboat.place_taken"
    assert not {"write payload", "create_journal /dev/vda", "shred host 1"} & set(stage.parts.calls)


def test_a_part_that_never_came_returns(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lifeboat_plan(swaps=[SWAP])).go()
    stage.give_lifeboat(stowed=("kernel", "initrd", "host"))
    (stage.places.old / "var/lib/dualroot/stage/rootfs.tar.zst").unlink()
    assert stage.run() == 1
    assert stage.status["fault"]["id"] == "stage_two.file_damaged"
    # Outside swap nothing is ever written by stage two.
    other = Stage(tmp_path / "other", lifeboat_plan()).go()
    other.give_lifeboat(stowed=("kernel", "initrd", "host"))
    assert other.run() == 1
    assert other.status["fault"]["id"] == "lifeboat.damaged"
    assert not any(call.startswith("write") for call in other.parts.calls)


def test_the_lifeboat_of_another_plan_is_refused(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    other = lifeboat_of(lifeboat_plan(host="gw2"))
    stage.write("etc/dualroot/lifeboat.json", json.dumps(other.to_document()))
    assert stage.run() == 1
    assert stage.status["fault"]["id"] == "stage_two.other_run"


def test_needs_no_memory_for_the_payload(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    stage.memory(300 * MIB, 65 * MIB)
    assert stage.run() == 0
    assert len(PAYLOAD) > 0 and len(KERNEL) > 0


def test_keeps_the_esp_through_everything(tmp_path: Path) -> None:
    esp = {"start": MIB, "length": 64 * MIB, "partuuid": "E5", "fs_uuid": "AB-CD"}
    stage = stage_of(tmp_path, esp=esp)
    restore = f"restore new {stage.plan['payload']['sha256'][:4]}"
    cut_at(stage, "ensure_volumes /dev/vda")
    assert "tear_down /dev/vda E5" in stage.parts.calls
    stage.cut()
    cut_at(stage, restore)
    assert "forget_volumes /dev/vdb E5" in stage.parts.calls
    stage.cut()
    assert stage.run() == 0
    assert "make_file_systems root_a dispatch data image E5" in stage.parts.calls
