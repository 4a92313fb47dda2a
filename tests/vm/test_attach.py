# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A controller that has none of the reports finds a host in each system, and tells the truth about it."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.plan.build import build
from ansible_collections.dualroot.migrate.plugins.module_utils.report import files

from tests.lab.bundles import Bundle
from tests.lab.playbook import Outcome
from tests.support import layouts
from tests.unit.plan import documents

from .pretended import NAME, Pretended, make_key

RUN = "20261121T120000Z-abcdef"
JOURNAL = json.dumps({"time": 10.0, "phase": "attach", "step": "disk", "event": "done", "seconds": 2.0}) + "\n"
LOCK = {
    "owner": "joe@office",
    "controller": "elsewhere",
    "process": 1,
    "started": "1",
    "run_id": "joes",
    "created": 1,
    "expires": int(time.time()) + 9999,
}


@pytest.fixture(scope="module")
def plan() -> dict[str, Any]:
    options = documents.options(now=int(time.time()), run_id=RUN, host=NAME.replace("/", "-"))
    return build(documents.facts(), documents.manifest(), layouts.document("va"), options)


@pytest.fixture(scope="module")
def started(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pretended]:
    host = Pretended(tmp_path_factory.mktemp("pretended"), bundle)
    yield host
    host.stop()
    shutil.rmtree(host.root)


@pytest.fixture
def host(started: Pretended) -> Pretended:
    """The host, which each test meets with a controller that knows nothing."""
    shutil.rmtree(started.reports, ignore_errors=True)
    for path in ("run/dualroot", "var/lib/dualroot", "etc/ansible", "etc/dualroot"):
        shutil.rmtree(started.root / path, ignore_errors=True)
    return started


def in_stage_two(host: Pretended, plan: dict[str, Any], **status: Any) -> None:
    host.boots("two", mode="convert", run=RUN)
    host.write("etc/dualroot/plan.json", plan)
    host.write("run/dualroot/journal.jsonl", JOURNAL)
    host.write("run/dualroot/log", "dualroot: attach: begins\n")
    show(host, plan, **status)


def show(host: Pretended, plan: dict[str, Any], **status: Any) -> None:
    document = {"run_id": RUN, "mode": "convert", "phase": "await", "plan_digest": plan["digest"], **status}
    host.write("run/dualroot/status.json", document)


def converted(host: Pretended, plan: dict[str, Any], *, committed: bool = False) -> None:
    manifest = json.loads((host.bundle.folder / "manifest.json").read_bytes())
    fact = {"slot": "a", "run_id": RUN, "layout": manifest["layout"]}
    fact.update(bundle_name=manifest["name"], bundle_version=manifest["version"], committed=committed)
    for name, content in (
        ("plan.json", json.dumps(plan)),
        ("capture-redacted.json", '{"version": 1}'),
        ("journal.jsonl", JOURNAL * 3),
        ("stage-two.log", "the whole log\n"),
        ("result.json", json.dumps({"run_id": RUN, "outcome": "converted", "fault": None, "resumed": 2})),
    ):
        host.write(f"var/lib/dualroot/runs/{RUN}/{name}", content)
    host.write("etc/ansible/facts.d/dualroot.fact", fact)
    host.boots("new", slot="a", run=RUN)


def evidence(host: Pretended, run: str = RUN) -> Path:
    return files.host_folder(host.reports, run, NAME)


def fault_of(host: Pretended, outcome: Outcome, run: str = RUN) -> dict[str, str]:
    assert outcome.returncode != 0
    result = json.loads((evidence(host, run) / "result.json").read_text())
    assert result["outcome"] == "failed"
    fault: dict[str, str] = result["fault"]
    assert fault == json.loads((evidence(host, run) / "fault.json").read_text())
    return fault


def test_attached_in_stage_two_and_led_to_its_end(host: Pretended, plan: dict[str, Any]) -> None:
    in_stage_two(host, plan, state="awaiting")
    went: list[str] = []

    def stage_two() -> None:
        for name, following in (("go", {"state": "sealed", "phase": "seal"}), ("seen", None)):
            mark = host.root / "run/dualroot" / name
            while not mark.exists():
                time.sleep(0.2)
            went.append(mark.read_text().strip())
            if following:
                show(host, plan, **following)
        shutil.rmtree(host.root / "run/dualroot")
        converted(host, plan)

    thread = threading.Thread(target=stage_two, daemon=True)
    thread.start()
    outcome = host.play("migrate", dualroot_consent=1)
    thread.join(10)
    assert went == [plan["digest"], ""], outcome.output[-4000:]
    # It has no disk, and that is the first thing that verify must see.
    assert fault_of(host, outcome)["id"] == "verify.disk_missing"
    assert (evidence(host) / "stage-two.log").read_text() == "the whole log\n"
    assert len(json.loads((evidence(host) / "journal.json").read_text())) == 3
    assert json.loads((evidence(host) / "plan.json").read_text()) == plan
    assert not (host.root / "var/lib/dualroot/lock").exists(), "the host was given back"


def test_a_plan_that_nobody_can_vouch_for(host: Pretended, plan: dict[str, Any]) -> None:
    in_stage_two(host, {**plan, "attended": False}, state="awaiting")
    outcome = host.play("migrate", dualroot_consent=1)
    (run,) = (path.name for path in host.reports.iterdir() if path.name != RUN)
    assert fault_of(host, outcome, run)["id"] == "migrate.plan_not_here"
    assert not (host.root / "run/dualroot/go").exists()


def test_a_changed_host_key_is_told_at_once(host: Pretended, plan: dict[str, Any]) -> None:
    in_stage_two(host, plan, state="running", phase="restore")
    changed: list[float] = []

    def swap() -> None:
        while not evidence(host).exists():
            time.sleep(0.2)
        time.sleep(10)
        make_key(host.folder / "another")
        host.know(host.folder / "another.pub")
        changed.append(time.monotonic())

    thread = threading.Thread(target=swap, daemon=True)
    thread.start()
    try:
        outcome = host.play("migrate", dualroot_consent=1)
    finally:
        thread.join(60)
        host.know(host.root / "etc/ssh/ssh_host_ed25519_key.pub")
    took = time.monotonic() - changed[0]
    assert fault_of(host, outcome)["id"] == "convert.host_key_changed"
    assert took < 90, f"{took:.0f} s, most of it the end of a playbook"


def test_a_host_in_the_hands_of_somebody_else(host: Pretended, plan: dict[str, Any]) -> None:
    converted(host, plan)
    host.write("var/lib/dualroot/lock", LOCK)
    fault = fault_of(host, host.play("migrate", dualroot_consent=1))
    assert fault["id"] == "migrate.locked"
    assert "joe@office, run joes" in fault["what"]
    assert json.loads((host.root / "var/lib/dualroot/lock").read_text()) == LOCK
    outcome = host.play("migrate", dualroot_consent=1, dualroot_break_lock="yes")
    assert fault_of(host, outcome)["id"] == "verify.disk_missing"
    assert f"{NAME}: took over the lock of joe@office, run joes (broken)" in outcome.output


def test_a_converted_host_is_left_alone(host: Pretended, plan: dict[str, Any]) -> None:
    converted(host, plan, committed=True)
    outcome = host.play("migrate", dualroot_consent=1)
    assert outcome.returncode == 0, outcome.output[-3000:]
    assert re.search(rf"^{NAME} .*changed=0 .*failed=0 ", outcome.output, re.MULTILINE)
    assert not host.reports.exists()


def test_a_recovery_system_is_heard(host: Pretended, plan: dict[str, Any]) -> None:
    in_stage_two(host, plan)
    host.boots("recovery", mode="recovery", run=RUN)
    assert fault_of(host, host.play("migrate", dualroot_consent=1))["id"] == "convert.in_recovery"
    assert (evidence(host) / "stage-two.log").read_text() == "dualroot: attach: begins\n"


def test_hosts_that_are_all_gone_have_a_record_each(host: Pretended) -> None:
    document = json.loads(host.inventory.read_text())
    gone = {"ansible_host": "127.0.0.1", "ansible_port": 1}
    host.inventory.write_text(json.dumps({"all": {"hosts": {"gone1": gone, "gone/2": gone}}}))
    try:
        outcome = host.play("migrate", dualroot_consent=2)
    finally:
        host.inventory.write_text(json.dumps(document))
    assert outcome.returncode != 0
    assert "PLAY [Migrate]" not in outcome.output
    (run,) = host.reports.iterdir()
    for name in ("gone1", "gone/2"):
        folder = files.host_folder(host.reports, run.name, name)
        assert json.loads((folder / "result.json").read_text())["fault"]["id"] == "convert.no_answer"
    assert "unreachable=0" in outcome.output and "unreachable=1" not in outcome.output
