# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reboot a staged host into stage two, lead it, and wait for what comes out; see modules/convert.py."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

from ..module_utils.faults import convert as kinds
from ..module_utils.faults.fault import Fault
from ..module_utils.report import files
from ..module_utils.waiting import timeline
from ..module_utils.waiting.machine import (
    Acknowledge,
    Expectation,
    Failed,
    Finished,
    GiveGo,
    Limits,
    Wait,
    settle,
)
from ..module_utils.waiting.revive_wait import ReviveWait
from ..module_utils.waiting.state import NewSystem, OldSystem, Recovery, StageTwo, classify
from ..plugin_utils import keeping, one_shot_reason, trial_reason
from ..plugin_utils.leading import LeadingAction
from ..plugin_utils.link import Link, LinkDown
from ..plugin_utils.results import failed

#: Renamed into place, so that stage two never reads half a digest.
_GO = "printf '%s\\n' {digest} >/run/dualroot/go.new && mv /run/dualroot/go.new /run/dualroot/go"
#: Stage two's own log, and its console lines; the end is what matters.
_LOG = "tail -c 262144 /run/dualroot/log 2>/dev/null"


class ActionModule(LeadingAction):
    """Ends in *failed*, never in *unreachable*: ansible-core does not stop a rollout on the latter."""

    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "plan": {"type": "dict", "required": True},
                "timeout": {"type": "int", "default": 3600},
                "probe_timeout": {"type": "int", "default": 40},
                "directory": {"type": "path"},
            }
        )
        self._directory = arguments["directory"]
        self._host = self.inventory_name(task_vars)
        self._started_epoch = time.time()
        self._evidence: dict[str, Any] = {}
        if self._task.check_mode:
            return {"changed": True, "msg": "check mode: the host is not rebooted"}
        try:
            self.check_remote()
            with Link(self._connection, arguments["probe_timeout"]) as link:
                return self._convert(link, arguments["plan"], Limits(total=float(arguments["timeout"])))
        except Fault as fault:
            return self._result({}, None, "failed", failed(fault))

    def _convert(self, link: Link, plan: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
        first = self.first_look(link)
        state = classify(first)
        # A restore leads from a slot to the old system, all else the other way.
        leaves_slot = plan["mode"] == "restore"
        already = isinstance(state, NewSystem) and state.run_id == plan["run_id"]
        before = isinstance(state, NewSystem if leaves_slot else OldSystem)
        expected = Expectation(
            run_id=plan["run_id"],
            plan_digest=plan["digest"],
            slot=plan["slot"],
            mode=plan["mode"],
            old_boot_id=state.boot_id if before else None,
            key_warning_before=first.key_warning,
        )
        went_down = time.time()
        if before:
            self.reboot(str(plan["run_id"]), "stage two")
        elif isinstance(state, StageTwo):
            self.show("attached to stage two, which runs already")
            went_down -= first.uptime
        wait = (ReviveWait if leaves_slot else Wait)(expected, limits, time.monotonic())
        evidence = self._evidence
        decision = self.lead(link, wait)
        self._fetch_journal(link, wait, evidence)
        if isinstance(decision, Failed):
            decision = self._ask_old_system(plan, decision, evidence)
        ending = failed(decision.fault) if isinstance(decision, Failed) else {"changed": not already}
        downtime = time.time() - went_down if decision.outcome != "failed" and not already else None
        return self._result(plan, wait, decision.outcome, ending, evidence, downtime)

    def act(self, link: Link, wait: Any, decision: Any) -> None:
        """Give the go, or take stage two's last words."""
        if isinstance(decision, GiveGo):
            self.attempt(link, _GO.format(digest=decision.digest))
            self.show("go given: the host was reached over its own network, the plan is the one shown")
            time.sleep(wait.limits.short_pause)
        elif isinstance(decision, Acknowledge):
            self._fetch_journal(link, wait, self._evidence)
            if self.attempt(link, ": >/run/dualroot/seen"):
                wait.acknowledged()

    def _fetch_journal(self, link: Link, wait: Wait, evidence: dict[str, Any]) -> None:
        """Keep stage two's status and journal while it can still be asked."""
        if not isinstance(wait.state, (StageTwo, Recovery)):
            return
        try:
            _status, out, _err = link.run("cat /run/dualroot/journal.jsonl 2>/dev/null")
            evidence["journal"] = timeline.read_journal(out) or evidence.get("journal", [])
            evidence["log"] = link.run(_LOG)[1] or evidence.get("log", "")
        except LinkDown:
            return

    def _ask_old_system(self, plan: Mapping[str, Any], decision: Failed, evidence: dict[str, Any]) -> Finished | Failed:
        """Read what stage two left in the old root; it knows better than one that saw it go silently."""
        if decision.outcome != "returned":
            return decision
        folder = str(plan["staging"]["run_directory"])
        try:
            texts = [
                self._low_level_execute_command(f"cat '{folder}/{name}' 2>/dev/null", sudoable=True)["stdout"]
                for name in ("journal.jsonl", "result.json", "stage-two.log")
            ]
        except AnsibleError:
            return decision
        evidence["journal"] = evidence.get("journal") or timeline.read_journal(texts[0])
        evidence["log"] = evidence.get("log") or texts[2]
        if decision.fault.get("id") == kinds.TRIAL_FAILED.id:
            return self._told(plan, decision)
        settled = settle(decision, timeline.read_result(texts[1]), str(plan["mode"]))
        if isinstance(settled, Failed) and settled.fault.get("id") == kinds.FELL_BACK.id:
            return self._not_seen(settled)
        return settled

    def _not_seen(self, decision: Failed) -> Failed:
        """Let GRUB's environment block say whether the boot loader took the one-shot at all."""
        kind = one_shot_reason.read(self._said(one_shot_reason.COMMAND))
        return Failed(decision.outcome, Fault(kind).record()) if kind else decision

    def _told(self, plan: Mapping[str, Any], decision: Failed) -> Failed:
        """Let the new system's own words, on the dispatch partition, say why it is not what runs."""
        reason = trial_reason.read(self._said(trial_reason.command(plan)), str(plan["slot"]))
        return Failed("returned", Fault(kinds.TRIAL_FAILED, reason=reason).record()) if reason else decision

    def _said(self, command: str) -> str:
        """Return what a command of root prints in the old system, nothing where it cannot be run."""
        try:
            return str(self._low_level_execute_command(command, sudoable=True)["stdout"])
        except AnsibleError:
            return ""

    def _result(
        self,
        plan: Mapping[str, Any],
        wait: Wait | None,
        outcome: str,
        ending: dict[str, Any],
        evidence: Mapping[str, Any] | None = None,
        downtime: float | None = None,
    ) -> dict[str, Any]:
        """Return the fields of ``result.json`` and the evidence beside them."""
        journal = (evidence or {}).get("journal", [])
        self._keep(plan, journal, str((evidence or {}).get("log", "")))
        state = wait.last_stage_two if wait else None
        return {
            "changed": True,
            "fault": None,
            **ending,
            "run_id": plan.get("run_id"),
            "host": self._host,
            "outcome": outcome,
            "slot": plan.get("slot") if outcome == "converted" else None,
            "started": self._started_epoch,
            "seconds": round(time.time() - self._started_epoch, 1),
            "phases": timeline.phases(journal),
            "downtime_seconds": None if downtime is None else round(downtime, 1),
            "peak_ram_bytes": (wait.peak_ram_bytes or None) if wait else None,
            "payload_bytes": plan.get("payload", {}).get("size"),
            "boot_ids": wait.boot_ids if wait else {"old": None, "stage_two": None, "new": None},
            "resumed": wait.resumed if wait else 0,
            "journal": journal,
            "last_phase": state.phase if state else None,
        }

    def _keep(self, plan: Mapping[str, Any], journal: list[Any], log: str) -> None:
        """Keep log and journal at once: the playbook may be killed before it writes the report."""
        if not self._directory or not plan:
            return
        folder = files.host_folder(Path(self._directory).absolute(), str(plan["run_id"]), self._host)
        try:
            keeping.keep(folder, {"plan": None, "capture": None, "journal": journal, "log": log})
        except OSError as error:
            self.show(f"the log could not be kept: {error.strerror}")
