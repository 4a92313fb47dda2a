# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole program on a scratch root: every way that it can end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils import phases
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import one_shot
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two import program, returning

from .stage import CANARY, INITRD, KERNEL, MIB, PAYLOAD, Stage, broken, plan

WRITES = ("tear_down", "apply_table", "ensure_volumes", "restore", "install_boot", "hand_over")


def wrote(stage: Stage) -> bool:
    return any(call.startswith(WRITES) for call in stage.parts.calls) or stage.places.past_return.exists()


def test_has_a_file_for_every_phase_in_their_order() -> None:
    assert tuple(program.RUN) == phases.STAGE_TWO_PHASES


@pytest.mark.parametrize(("decisive", "kind"), [(True, "required"), (False, "wanted")])
def test_the_new_system_checks_its_own_health(tmp_path: Path, decisive: bool, kind: str) -> None:
    stage = Stage(tmp_path, plan(health={"commands": ["systemctl is-active db"], "decisive": decisive})).go()
    assert stage.run() == 0
    (check,) = (stage.places.new / "etc/dualroot/check").glob("*/*")
    assert check.parent.name == f"{kind}.d" and check.read_text().endswith("\nsystemctl is-active db\n")
    assert (stage.places.new / "etc/systemd/system/dualroot-trial.service").is_file()


def test_converts(tmp_path: Path) -> None:
    stage = Stage(tmp_path).go()

    assert stage.run() == 0

    assert stage.parts.calls == [
        "login admin",
        "network",
        "find_disk",
        "check_proof proof",
        "find_disk",
        "describe_change",
        "check_ahead",
        "disk_users /dev/vda",
        "tear_down /dev/vda",
        "apply_table /dev/vda",
        "ensure_volumes /dev/vda",
        f"restore new {stage.plan['payload']['sha256'][:4]}",
        "configure networkd",
        "install_boot dispatch",
        "mark_trying a",
        "hand_over /dev/vda",
    ]
    new, old = stage.places.new, str(stage.places.old)
    run = f"{tmp_path}/run/dualroot"
    size = 2 * MIB
    assert stage.runner.calls == [
        ("/usr/sbin/sshd", "-E", "/run/dualroot/sshd.log"),
        ("udevadm", "settle", "--timeout=30"),
        ("blkid", "-c", "/dev/null", "-o", "device", "-t", f"UUID={stage.plan['staging']['uuid']}"),
        ("mount", "-t", "ext4", "-o", "ro,noload", "/dev/vda1", old),
        (
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={size},mode=0700,nosuid,nodev,noexec",
            "payload",
            f"{run}/payload",
        ),
        ("umount", old),
        ("udevadm", "settle", "--timeout=30"),
        ("mount", "-t", "ext4", "-o", "noatime", "/dev/VA/root", str(new)),
        ("mount", "-t", "ext4", "-o", "noatime", "/dev/vda2", str(new / "boot/dispatch")),
        ("mount", "-t", "ext4", "-o", "noatime", "/dev/VA/data", str(new / "data")),
        ("mount", "-t", "ext4", "-o", "noatime", "/dev/VA/image", str(new / "image")),
        ("umount", str(new / "image")),
        ("umount", str(new / "data")),
        ("umount", str(new / "boot/dispatch")),
        ("umount", str(new)),
    ]
    assert (stage.status["state"], stage.status["phase"], stage.reboots) == ("sealed", "seal", 1)
    assert stage.status["ram_peak_bytes"] == 100 * MIB
    assert stage.status["plan_digest"] == stage.plan["digest"]
    assert not (stage.places.payload / "rootfs.tar.zst").exists()
    assert (tmp_path / "proc/sys/vm/dirty_bytes").read_text() == str(64 * MIB)


def test_leaves_evidence_in_the_new_system(tmp_path: Path) -> None:
    stage = Stage(tmp_path).go()
    stage.run()
    new = stage.places.new
    folder = new / "var/lib/dualroot/runs" / stage.plan["run_id"]

    result = json.loads((folder / "result.json").read_text())
    assert (result["outcome"], result["fault"], result["slot"]) == ("converted", None, "a")
    assert result["payload_bytes"] == len(PAYLOAD)
    assert [phase["name"] for phase in result["phases"]] == list(phases.STAGE_TWO_PHASES)
    assert result["boot_ids"] == {"old": None, "stage_two": "boot-1", "new": None}
    assert json.loads((folder / "plan.json").read_text()) == stage.plan
    assert json.loads((folder / "capture-redacted.json").read_text()) == {"version": 1}
    assert (folder / "journal.jsonl").exists()
    assert folder.stat().st_mode & 0o777 == 0o700
    dispatch = new / "boot/dispatch/runs" / stage.plan["run_id"] / "result.json"
    assert json.loads(dispatch.read_text()) == result
    fact = new / "etc/ansible/facts.d/dualroot.fact"
    assert json.loads(fact.read_text()) == {
        "slot": "a",
        "run_id": stage.plan["run_id"],
        "layout": "va",
        "bundle_name": "gateway",
        "bundle_version": "2",
    }
    assert "/dev" not in (new / "etc/fstab").read_text()
    assert not (new / ".dualroot-restore").exists()


def test_no_secret_leaves_the_memory(tmp_path: Path) -> None:
    stage = Stage(tmp_path).go()
    stage.parts.faults["network"] = [ValueError(CANARY)]
    stage.run()
    Stage(tmp_path / "second").go().run()
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "capture.json":
            assert CANARY not in path.read_text("utf-8", "replace"), path
    assert CANARY not in "\n".join(stage.lines)


def test_a_rehearsal_returns_without_a_fault_and_without_a_write(tmp_path: Path) -> None:
    stage = Stage(tmp_path, plan(mode="rehearse")).go()

    assert stage.run() == 0

    assert not wrote(stage)
    assert "describe_change" in stage.parts.calls
    assert (stage.status["state"], stage.status["fault"], stage.reboots) == ("returning", None, 1)
    assert (stage.result_in_old["outcome"], stage.result_in_old["fault"]) == ("returned", None)
    assert [phase["name"] for phase in stage.result_in_old["phases"]] == ["attach", "load", "await"]
    assert stage.mounts == [str(stage.places.payload)]


@pytest.mark.parametrize(
    ("spoil", "phase", "fault"),
    [
        (lambda stage: stage.parts.faults.update({"find_disk": [broken()]}), "attach", "command.failed"),
        (lambda stage: stage.parts.faults.update(network=[broken()]), "attach", "stage_two.no_network"),
        (
            lambda stage: stage.parts.faults.update({"login admin": [KeyError("x")]}),
            "attach",
            "stage_two.internal",
        ),
        (lambda stage: stage.memory(200 * MIB, 60 * MIB), "load", "stage_two.too_little_ram"),
        (
            lambda stage: stage.old("var/lib/dualroot/stage/rootfs.tar.zst", b"P" + PAYLOAD[1:]),
            "load",
            "stage_two.file_damaged",
        ),
        (
            lambda stage: stage.old("var/lib/dualroot/stage/rootfs.tar.zst", PAYLOAD[1:]),
            "load",
            "stage_two.file_damaged",
        ),
        (lambda stage: stage.old("boot/dualroot/vmlinuz", b"Kernel"), "load", "stage_two.file_damaged"),
        (lambda stage: stage.at.clear(), "await", "stage_two.no_go"),
        (lambda stage: (stage.at.clear(), stage.go(2, "0" * 64)), "await", "stage_two.wrong_go"),
        (lambda stage: stage.parts.users.append("/dev/vda1"), "await", "stage_two.disk_in_use"),
        (
            lambda stage: stage.parts.faults.update({"describe_change": [broken()]}),
            "await",
            "command.failed",
        ),
        (
            lambda stage: stage.parts.faults.update({"check_ahead": [broken()]}),
            "await",
            "command.failed",
        ),
    ],
)
def test_before_the_point_of_no_return_every_fault_returns(
    tmp_path: Path, spoil: object, phase: str, fault: str
) -> None:
    stage = Stage(tmp_path).go()
    spoil(stage)  # type: ignore[operator]

    assert stage.run() == 1

    assert not wrote(stage)
    assert (stage.status["state"], stage.reboots) == ("returning", 1)
    assert (stage.status["fault"]["id"], stage.status["fault"]["phase"]) == (fault, phase)
    assert stage.result_in_old["outcome"] == "returned"
    assert stage.result_in_old["fault"] == stage.status["fault"]
    assert stage.places.reboot.exists()


def test_the_controller_shortens_the_wait_by_having_seen(tmp_path: Path) -> None:
    slow = Stage(tmp_path / "slow", plan(mode="rehearse")).go()
    slow.run()
    quick = Stage(tmp_path / "quick", plan(mode="rehearse")).go()
    (quick.places.run / "seen").touch()
    quick.run()
    assert 15 < slow.now - quick.now < 25


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("plan.json", "{", "stage_two.no_configuration"),
        ("plan.json", "[]", "stage_two.no_configuration"),
        ("capture.json", "{", "stage_two.no_configuration"),
        ("plan.json", json.dumps({**plan(), "slot": "b"}), "plan.digest_mismatch"),
        ("plan.json", json.dumps(plan(expires=1500)), "plan.expired"),
        ("plan.json", json.dumps(plan(run_id="20240101T000000Z-other1")), "stage_two.other_run"),
    ],
)
def test_unusable_documents_end_before_anything_begins(tmp_path: Path, name: str, content: str, fault: str) -> None:
    stage = Stage(tmp_path)
    stage.write(f"etc/dualroot/{name}", content)

    assert stage.run() == 1

    assert stage.parts.calls == []
    assert (stage.status["fault"]["id"], stage.status["state"], stage.reboots) == (fault, "returning", 1)


def test_an_unattended_run_needs_neither_go_nor_network(tmp_path: Path) -> None:
    stage = Stage(tmp_path, plan(attended=False))
    stage.parts.faults["network"] = [broken()]

    assert stage.run() == 0
    assert ("attach", "network", "skip") in stage.journal
    assert ("await", "go", "skip") in stage.journal
    assert stage.status["state"] == "sealed"


def test_a_run_that_ended_before_does_not_run_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path).go()
    folder = stage.places.old / stage.plan["staging"]["run_directory"].lstrip("/")
    (folder / "result.json").write_text('{"outcome": "returned"}')
    environment = b"# GRUB Environment Block\nnext_entry=dualroot-convert\nsaved_entry=0\n".ljust(1024, b"#")
    stage.old("boot/grub/grubenv", environment)

    assert stage.run() == 1

    assert stage.status["fault"]["id"] == "stage_two.already_ran"
    assert "returned" in stage.status["fault"]["what"]
    assert stage.result_in_old == {"outcome": "returned"}
    after = (stage.places.old / "boot/grub/grubenv").read_bytes()
    assert after == b"# GRUB Environment Block\nnext_entry=\nsaved_entry=0\n".ljust(1024, b"#")


def test_a_step_past_return_is_tried_three_times(tmp_path: Path) -> None:
    stage = Stage(tmp_path).go()
    stage.parts.faults["apply_table /dev/vda"] = [broken("one"), broken("two")]

    assert stage.run() == 0

    events = [event for phase, step, event in stage.journal if (phase, step) == ("partition", "table")]
    assert events == ["start", "fail", "start", "fail", "start", "done"]
    assert stage.status["state"] == "sealed"


def test_past_return_it_holds_until_asked_to_go_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path).go()
    stage.parts.faults["ensure_volumes /dev/vda"] = [broken() for _turn in range(4)]
    seen: list[dict[str, object]] = []

    def person() -> None:
        seen.append(stage.status)
        (stage.places.run / "retry").touch()

    stage.at.append((stage.now + 20000, person))

    assert stage.run() == 0

    assert (seen[0]["state"], seen[0]["phase"]) == ("holding", "volumes")
    assert seen[0]["fault"]["id"] == "command.failed"  # type: ignore[index]
    assert stage.parts.calls.count("ensure_volumes /dev/vda") == 5
    assert (stage.status["state"], stage.status["fault"], stage.reboots) == ("sealed", None, 1)
    assert not (stage.places.run / "retry").exists()


def test_while_it_holds_it_tries_to_be_reachable(tmp_path: Path) -> None:
    stage = Stage(tmp_path, plan(attended=False))
    stage.parts.faults["network"] = [broken(), broken()]
    stage.parts.faults["ensure_volumes /dev/vda"] = [broken() for _turn in range(3)]
    stage.at.append((stage.now + 500, (stage.places.run / "retry").touch))

    assert stage.run() == 0

    assert stage.parts.calls.count("network") == 3
    assert "dualroot: volumes: network works now" in stage.lines


def test_every_return_forgets_the_one_shot_entry_but_no_other(tmp_path: Path) -> None:
    stage = Stage(tmp_path).go()
    stage.parts.faults["find_disk"] = [broken()]
    assert b"next_entry=" + one_shot.ENTRY_ID.encode() == returning.ONE_SHOT
    ours = b"# GRUB Environment Block\n" + returning.ONE_SHOT + b"\n"
    ours = ours.ljust(1024, b"#")
    other = b"# GRUB Environment Block\nnext_entry=2\n".ljust(1024, b"#")
    stage.old("boot/grub/grubenv", ours)
    stage.old("boot/grub2/grubenv", other)

    assert stage.run() == 1

    assert b"next_entry=\n" in (stage.places.old / "boot/grub/grubenv").read_bytes()
    assert (stage.places.old / "boot/grub2/grubenv").read_bytes() == other


def test_a_disk_that_takes_no_writes_does_not_start_stage_two_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the boot loader nor stage two can forget the one-shot entry, so a restart would come back here."""
    stage = Stage(tmp_path).go()
    stage.parts.faults["find_disk"] = [broken()]
    stage.old("boot/grub/grubenv", (b"# GRUB Environment Block\n" + returning.ONE_SHOT + b"\n").ljust(1024, b"#"))
    protected = [True]
    real = returning.mounting.mount

    def mount(machine: object, device: str, at: Path, fstype: str, options: str = "") -> None:
        if protected[0] and options == "rw":
            raise broken("write-protected")
        real(machine, device, at, fstype, options)  # type: ignore[arg-type]

    monkeypatch.setattr(returning.mounting, "mount", mount)
    seen: list[dict[str, object]] = []

    def person() -> None:
        seen.append({**stage.status, "reboots": stage.reboots})
        protected[0] = False
        (stage.places.run / "retry").touch()

    stage.at.append((stage.now + 5000, person))

    assert stage.run() == 1

    assert (seen[0]["state"], seen[0]["reboots"]) == ("holding", 0)
    assert seen[0]["fault"]["id"] == "stage_two.one_shot_stays"  # type: ignore[index]
    assert "command.failed" in seen[0]["fault"]["what"]  # type: ignore[index]
    assert b"next_entry=\n" in (stage.places.old / "boot/grub/grubenv").read_bytes()
    assert (stage.status["state"], stage.reboots) == ("running", 1)


def test_a_second_start_past_return_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path).go()
    stage.parts.faults["configure networkd"] = [SystemExit(9)]  # type: ignore[list-item]
    with pytest.raises(SystemExit):
        stage.run()
    assert stage.reboots == 0
    first = list(stage.parts.calls)
    stage.parts.calls.clear()

    assert stage.run() == 0

    assert [call for call in first if call.startswith("restore")]
    assert stage.parts.calls == [
        "login admin",
        "network",
        "configure networkd",
        "install_boot dispatch",
        "mark_trying a",
        "hand_over /dev/vda",
    ]


def test_a_second_start_past_return_is_never_too_late(tmp_path: Path) -> None:
    stage = Stage(tmp_path).go()
    stage.parts.faults["hand_over /dev/vda"] = [SystemExit(9)]  # type: ignore[list-item]
    with pytest.raises(SystemExit):
        stage.run()
    assert stage.mounts == [f"{tmp_path}/run/dualroot/payload"]
    stage.now = stage.plan["expires"] + 1.0

    assert stage.run() == 0

    assert (stage.status["state"], stage.reboots) == ("sealed", 1)
    # It was mounted once more on the way, and must not be at the restart.
    assert stage.mounts == [f"{tmp_path}/run/dualroot/payload"]


def test_unusable_documents_past_return_hold_the_machine(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.places.past_return.touch()
    stage.write("etc/dualroot/plan.json", "{")
    stage.parts.faults["login root"] = [broken("accounts")]
    assert stage.run() == 1
    assert (stage.status["state"], stage.reboots) == ("holding", 0)
    # The network comes up all the same: a person has to get in.
    assert stage.parts.calls == ["login root", "network"]
    assert any("no login" in line for line in stage.lines)


def test_an_error_of_the_kernel_restarts_only_before_the_first_write(tmp_path: Path) -> None:
    setting = tmp_path / "proc/sys/kernel/panic_on_oops"
    seen: list[str] = []
    stage = Stage(tmp_path).go()
    stage.parts.when["describe_change"] = lambda: seen.append(setting.read_text())
    stage.parts.when["tear_down /dev/vda"] = lambda: seen.append(setting.read_text())
    assert stage.run() == 0
    assert seen == ["1", "0"]


def test_environment_may_lie_in_the_staging_folder(tmp_path: Path) -> None:
    stage = Stage(tmp_path).go()
    for name, content in (("vmlinuz", KERNEL), ("initrd.img", INITRD)):
        stage.old(f"boot/dualroot/{name}", b"of another run")
        stage.old(f"var/lib/dualroot/stage/{name}", content)
    assert stage.run() == 0


def test_another_mode_is_refused(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.write("proc/cmdline", "quiet\n")
    assert stage.run() == 2
    assert stage.reboots == 0
