# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side: order a reboot and follow the host until a wait is over.

The decisions are made by the waits of ``module_utils/waiting``; here is what they cannot do: probe, show, sleep.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from typing import Any, Protocol

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.text.converters import to_text
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import lock
from ..module_utils.faults import convert as kinds
from ..module_utils.faults.fault import Fault
from ..module_utils.waiting.machine import Failed, Finished, KeepWaiting
from ..module_utils.waiting.observation import Answer, Observation
from ..module_utils.waiting.state import Dark, classify
from . import locking
from .link import Link, LinkDown

display = Display()

#: Detached, so that ssh ends before the host does. A unit of its own where systemd runs, because
#: logind may kill what a session leaves behind (KillUserProcesses=, logind.conf(5)); the last sleep lets
#: nohup set its signals before the session's end sends SIGHUP. The lock is looked at once more, because it
#: may have expired or been broken while this run staged.
REBOOT = """[ "$(id -u)" = 0 ] || {{ echo "become did not lead to root" >&2; exit 77; }}
lock={lock}
if [ -e "$lock" ] && ! grep -qF {mark} "$lock"; then head -c 400 "$lock" >&2; exit 78; fi
work='sleep 2; {before}systemctl reboot || reboot || shutdown -r now'
sync
if [ -d /run/systemd/system ] && systemd-run --no-block /bin/sh -c "$work" >/dev/null 2>&1; then :
else nohup /bin/sh -c "$work" >/dev/null 2>&1 </dev/null & sleep 1; fi
echo DUALROOT-REBOOTING"""

#: The lock lies in the system that goes down, and whoever comes back to that later must not find it.
GIVE_BACK = f"rm -f {lock.PATH}; "

#: The status of that text where the lock is another run's.
LOCK_LOST = 78
#: How often a line is shown though nothing new is worth telling, in seconds.
HEARTBEAT = 30.0
#: The first look may meet a host that is busy; in seconds.
FIRST_LOOK = 60.0


class Waiting(Protocol):
    """What ``lead`` needs of a wait."""

    started: float

    def step(self, now: float, observation: Observation) -> Any: ...

    def line(self, elapsed: float) -> str: ...

    def mark(self) -> tuple[object, ...]: ...


class LeadingAction(ActionBase):
    """An action that follows a host through a reboot; ends in *failed*, never in *unreachable*."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False
    #: The host's name in the inventory; ``run`` of the action sets it.
    _host = ""

    def check_remote(self) -> None:
        """Raise ``convert.local_connection`` where the host is the controller itself."""
        if str(self._connection.transport).rpartition(".")[2] == "local":
            raise Fault(kinds.LOCAL_CONNECTION, transport="local")

    def first_look(self, link: Link) -> Answer:
        """Return the first answer of the host; raises ``convert.no_answer``."""
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

    def reboot(self, run_id: str, into: str, give_back: bool = False) -> None:
        """Order the reboot, unless the lock is another run's; ``into`` is for the person who waits."""
        before = GIVE_BACK if give_back else ""
        text = REBOOT.format(lock=lock.PATH, mark=shlex.quote(locking.mark(run_id)), before=before)
        try:
            done = self._low_level_execute_command(text, sudoable=True)
        except AnsibleConnectionFailure as error:
            # The host may have gone down before ssh ended; the wait finds out.
            self.show(f"the connection ended while the reboot was ordered ({to_text(error)[:80]})")
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
        self.show(f"rebooting into {into}")

    def lead(self, link: Link, wait: Waiting) -> Finished | Failed:
        """Probe, decide and act until the wait is over."""
        shown: Any = None
        shown_at = 0.0
        while True:
            observation = link.observe()
            now = time.monotonic()
            decision = wait.step(now, observation)
            mark = wait.mark()
            if mark != shown or now - shown_at >= HEARTBEAT:
                self.show(wait.line(now - wait.started))
                shown, shown_at = mark, now
            if isinstance(decision, (Finished, Failed)):
                return decision
            if isinstance(decision, KeepWaiting):
                time.sleep(decision.seconds)
            else:
                self.act(link, wait, decision)

    def act(self, link: Link, wait: Any, decision: Any) -> None:
        """Do what a wait of this action decides beside waiting; by default no wait does."""
        raise NotImplementedError(type(decision).__name__)

    def attempt(self, link: Link, command: str) -> bool:
        """Run a command whose failure the next probe shows."""
        try:
            return link.run(command)[0] == 0
        except LinkDown as down:
            display.vv(f"<{self._host}> {down}")
            return False

    def show(self, text: str) -> None:
        display.display(f"{self._host}: {text}")

    def inventory_name(self, task_vars: Mapping[str, Any] | None) -> str:
        return str((task_vars or {}).get("inventory_hostname", ""))
