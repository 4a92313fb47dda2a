# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reboot a staged host into stage two, lead it, and wait for what comes out; see modules/convert.py."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.text.converters import to_text
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import lock
from ..module_utils.faults import convert as kinds
from ..module_utils.faults.fault import Fault
from ..module_utils.report import files
from ..module_utils.waiting import progress, timeline
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
from ..module_utils.waiting.observation import Answer
from ..module_utils.waiting.state import Dark, NewSystem, OldSystem, Recovery, StageTwo, classify
from ..plugin_utils import keeping, locking
from ..plugin_utils.link import Link, LinkDown
from ..plugin_utils.results import failed

display = Display()

#: Detached, so that ssh ends before the host does. A unit of its own where systemd runs, because
#: logind may kill what a session leaves behind (KillUserProcesses=, logind.conf(5)); the last sleep lets
#: nohup set its signals before the session's end sends SIGHUP. The lock is looked at once more, because it
#: may have expired or been broken while this run staged.
REBOOT = """[ "$(id -u)" = 0 ] || {{ echo "become did not lead to root" >&2; exit 77; }}
lock={lock}
if [ -e "$lock" ] && ! grep -qF {mark} "$lock"; then head -c 400 "$lock" >&2; exit 78; fi
work='sleep 2; systemctl reboot || reboot || shutdown -r now'
sync
if [ -d /run/systemd/system ] && systemd-run --no-block /bin/sh -c "$work" >/dev/null 2>&1; then :
else nohup /bin/sh -c "$work" >/dev/null 2>&1 </dev/null & sleep 1; fi
echo DUALROOT-REBOOTING"""

#: Renamed into place, so that stage two never reads half a digest.
_GO = "printf '%s\\n' {digest} >/run/dualroot/go.new && mv /run/dualroot/go.new /run/dualroot/go"

#: The status of that text where the lock is another run's.
LOCK_LOST = 78
#: Stage two's own log, and its console lines; the end is what matters.
_LOG = "tail -c 262144 /run/dualroot/log 2>/dev/null"

#: How often a line is shown though nothing new is worth telling, in seconds.
HEARTBEAT = 30.0
#: The first look may meet a host that is busy; in seconds.
FIRST_LOOK = 60.0


class ActionModule(ActionBase):
    """Ends in *failed*, never in *unreachable*: ansible-core does not stop a rollout on the latter."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

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
        self._host = str((task_vars or {}).get("inventory_hostname", ""))
        self._started_epoch = time.time()
        if self._task.check_mode:
            return {"changed": True, "msg": "check mode: the host is not rebooted"}
        if str(self._connection.transport).rpartition(".")[2] == "local":
            return failed(Fault(kinds.LOCAL_CONNECTION, transport="local"), outcome="failed")
        try:
            with Link(self._connection, arguments["probe_timeout"]) as link:
                return self._convert(link, arguments["plan"], Limits(total=float(arguments["timeout"])))
        except Fault as fault:
            return self._result({}, None, "failed", failed(fault))

    def _convert(self, link: Link, plan: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
        first = self._first_look(link)
        state = classify(first)
        already = isinstance(state, NewSystem) and state.run_id == plan["run_id"]
        expected = Expectation(
            run_id=plan["run_id"],
            plan_digest=plan["digest"],
            slot=plan["slot"],
            mode=plan["mode"],
            old_boot_id=state.boot_id if isinstance(state, OldSystem) else None,
            key_warning_before=first.key_warning,
        )
        went_down = time.time()
        if isinstance(state, OldSystem):
            self._reboot(str(plan["run_id"]))
        elif isinstance(state, StageTwo):
            self._show("attached to stage two, which runs already")
            went_down -= first.uptime
        wait = Wait(expected, limits, time.monotonic())
        evidence: dict[str, Any] = {}
        decision = self._lead(link, wait, evidence)
        if isinstance(decision, Failed):
            decision = self._ask_old_system(plan, decision, evidence)
        ending = failed(decision.fault) if isinstance(decision, Failed) else {"changed": not already}
        downtime = time.time() - went_down if decision.outcome != "failed" and not already else None
        return self._result(plan, wait, decision.outcome, ending, evidence, downtime)

    def _first_look(self, link: Link) -> Answer:
        deadline = time.monotonic() + FIRST_LOOK
        while True:
            observation = link.observe()
            if isinstance(observation, Answer):
                return observation
            state = classify(observation)
            if time.monotonic() >= deadline or (isinstance(state, Dark) and state.key_changed):
                raise Fault(kinds.NO_ANSWER, detail=observation.reason)
            # A host that is just starting (second run after a broken controller) answers soon.
            time.sleep(3)

    def _reboot(self, run_id: str) -> None:
        text = REBOOT.format(lock=lock.PATH, mark=shlex.quote(locking.mark(run_id)))
        try:
            done = self._low_level_execute_command(text, sudoable=True)
        except AnsibleConnectionFailure as error:
            # The host may have gone down before ssh ended; the wait finds out.
            self._show(f"the connection ended while the reboot was ordered ({to_text(error)[:80]})")
            return
        except AnsibleError as error:
            raise Fault(kinds.REBOOT_REFUSED, detail=to_text(error)) from error
        if done["rc"] == LOCK_LOST:
            found = lock.read(done["stderr"] or done["stdout"])
            detail = f"{found.holder.owner}, run {found.holder.run_id}" if found else "the lock is not readable"
            raise Fault(kinds.LOCK_LOST, detail=detail)
        if done["rc"] != 0 or "DUALROOT-REBOOTING" not in done["stdout"]:
            detail = (done["stderr"] or done["stdout"]).strip()[-300:] or f"status {done['rc']}"
            raise Fault(kinds.REBOOT_REFUSED, detail=detail)
        self._show("rebooting into stage two")

    def _lead(self, link: Link, wait: Wait, evidence: dict[str, Any]) -> Finished | Failed:
        """Probe, decide and act until the wait is over."""
        shown: Any = None
        shown_at = 0.0
        while True:
            observation = link.observe()
            now = time.monotonic()
            decision = wait.step(now, observation)
            mark = progress.key(wait.state)
            if mark != shown or now - shown_at >= HEARTBEAT:
                self._show(progress.line(wait.state, now - wait.started))
                shown, shown_at = mark, now
            if isinstance(decision, (Finished, Failed)):
                self._fetch_journal(link, wait, evidence)
                return decision
            if isinstance(decision, GiveGo):
                self._try(link, _GO.format(digest=decision.digest))
                self._show("go given: the host was reached over its own network, the plan is the one shown")
                time.sleep(wait.limits.short_pause)
            elif isinstance(decision, Acknowledge):
                self._fetch_journal(link, wait, evidence)
                if self._try(link, ": >/run/dualroot/seen"):
                    wait.acknowledged()
            else:
                time.sleep(decision.seconds)

    def _try(self, link: Link, command: str) -> bool:
        """Run a command whose failure the next probe shows."""
        try:
            return link.run(command)[0] == 0
        except LinkDown as down:
            display.vv(f"<{self._host}> {down}")
            return False

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
        return settle(decision, timeline.read_result(texts[1]), str(plan["mode"]))

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
            self._show(f"the log could not be kept: {error.strerror}")

    def _show(self, text: str) -> None:
        display.display(f"{self._host}: {text}")
