# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which system a host runs, told apart by markers.

The kernel's ``dualroot.*`` arguments decide, then ``/run/dualroot/status.json`` and the fact file
of a converted system. The boot id only tells an old system that has not gone down yet from one
that came back; alone it would take any reboot for a success.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

from .observation import Answer, KeyChanged, Observation


@dataclass(frozen=True)
class OldSystem:
    """The old system, not rebooted since the run looked at it first."""

    boot_id: str


@dataclass(frozen=True)
class StageTwo:
    """The convert initrd; ``activity`` is the ``state`` field of its status, ``starting`` before one."""

    run_id: str
    boot_id: str
    activity: str = "starting"
    phase: str = "attach"
    step: str = ""
    percent: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    ram_used_bytes: int = 0
    ram_peak_bytes: int = 0
    message: str = ""
    plan_digest: str = ""
    mode: str = "convert"
    fault: Mapping[str, Any] | None = None
    #: how often stage two was started again from its lifeboat after a cut, as it tells itself
    resumed: int = 0


@dataclass(frozen=True)
class NewSystem:
    """A converted system; ``slot_state`` is the state of its slot (``good``, ``trying``) where readable."""

    slot: str
    run_id: str
    boot_id: str
    slot_state: str = ""
    fact: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Recovery:
    """The recovery system of the dispatch partition."""

    run_id: str
    boot_id: str


@dataclass(frozen=True)
class FellBack:
    """The old system again, after a reboot; ``run_id`` where the dispatcher of that run fell back to it."""

    boot_id: str
    run_id: str = ""


@dataclass(frozen=True)
class Dark:
    """No answer that says which system runs."""

    reason: str
    refused: bool = False
    key_changed: bool = False


State = Union[OldSystem, StageTwo, NewSystem, Recovery, FellBack, Dark]


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0


def _stage_two(answer: Answer) -> StageTwo:
    run_id = answer.arguments.get("run", "")
    status = answer.status
    if status is None:
        return StageTwo(run_id=run_id, boot_id=answer.boot_id)
    fault = status.get("fault")
    return StageTwo(
        run_id=str(status.get("run_id") or run_id),
        boot_id=answer.boot_id,
        activity=str(status.get("state") or "running"),
        phase=str(status.get("phase") or "attach"),
        step=str(status.get("step") or ""),
        percent=_whole(status.get("percent")),
        bytes_done=_whole(status.get("bytes_done")),
        bytes_total=_whole(status.get("bytes_total")),
        ram_used_bytes=_whole(status.get("ram_used_bytes")),
        ram_peak_bytes=_whole(status.get("ram_peak_bytes")),
        message=str(status.get("message") or ""),
        plan_digest=str(status.get("plan_digest") or ""),
        mode=str(status.get("mode") or "convert"),
        resumed=_whole(status.get("resumed")),
        fault=fault if isinstance(fault, dict) else None,
    )


def classify(observation: Observation, old_boot_id: str | None = None) -> State:
    """Tell which system answered.

    ``old_boot_id`` is the boot id the old system had before the run rebooted it; without it every
    system that carries no marker is the old system.
    """
    if not isinstance(observation, Answer):
        return Dark(
            observation.reason,
            refused=getattr(observation, "refused", False),
            key_changed=isinstance(observation, KeyChanged),
        )
    arguments, fact = observation.arguments, observation.fact or {}
    if arguments.get("mode") in ("convert", "restore"):
        return _stage_two(observation)
    if arguments.get("mode") == "recovery":
        return Recovery(run_id=arguments.get("run", ""), boot_id=observation.boot_id)
    slot = arguments.get("slot") or str(fact.get("slot") or "")
    if slot:
        return NewSystem(
            slot=slot,
            run_id=arguments.get("run") or str(fact.get("run_id") or ""),
            boot_id=observation.boot_id,
            slot_state=observation.slots.get(f"dr_{slot}", ""),
            fact=observation.fact,
        )
    if old_boot_id is None or observation.boot_id == old_boot_id:
        return OldSystem(observation.boot_id)
    # Kept until commit, as the good slot of the trial.
    kept = arguments.get("run", "") if arguments.get("mode") == "old" else ""
    return FellBack(observation.boot_id, kept)
