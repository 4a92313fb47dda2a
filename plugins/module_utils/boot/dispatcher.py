# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dispatcher: the configuration of the GRUB on the ``dispatch`` partition, made from a plan.

It is owned by nobody else; a distribution's own ``update-grub`` writes into its slot and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..disk.nodes import mapper_name, volume_node
from ..faults import boot as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedLayout
from ._dispatcher_script import EARLY, OLD, SCRIPT
from .slot_state import RECOVERY

#: On every kernel line: a torn primary GPT is replaced by its backup, and a panic ends in a reboot.
ALWAYS = ("gpt", "panic=30")
#: dracut reboots instead of waiting at a shell; others ignore it (dracut.cmdline(7)).
DRACUT = ("rd.shell=0", "rd.emergency=reboot")
#: On trial, so that the trial guard runs and a kernel that hangs panics, and restarts (kernel-parameters.txt;
#: systemd.watchdog_sec: kernel-command-line(7), nothing where there is no watchdog).
TRIAL = (
    "dualroot.trial",
    "oops=panic",
    "softlockup_panic=1",
    # Three times the usual patience: a paused or crowded virtual machine is no hang. A task that waits long for a
    # slow disk is none either, so hung_task_panic is left out; the guard ends what never comes up.
    "watchdog_thresh=30",
    "nmi_watchdog=panic,1",
    "systemd.watchdog_sec=60",
)
#: The one-shot entry of a staged run: ``one_shot.ENTRY_ID``, which imports from here.
ONE_SHOT = "dualroot-convert"
#: Seconds until the next round after nothing at all could be loaded.
PAUSE_SECONDS = 20
#: Seconds the menu is shown.
MENU_SECONDS = 2

_SAFE_ARGUMENT = re.compile(r"[A-Za-z0-9_.,:=/@%+~!-]+")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_.+-]+")
_SERIAL = re.compile(r"console=ttyS(?P<unit>[0-3])(?:,(?P<speed>\d+)(?P<parity>[noe])?(?P<bits>[78])?r?)?")
_PARITY = {"n": "no", "o": "odd", "e": "even"}


@dataclass(frozen=True)
class Slot:
    """Where a slot's root is: names of volume group and logical volume, and the plan's device."""

    name: str
    group: str
    volume: str

    @property
    def grub_device(self) -> str:
        return f"lvm/{mapper_name(self.group, self.volume)}"

    @property
    def node(self) -> str:
        return volume_node(self.group, self.volume)


@dataclass(frozen=True)
class OldSystem:
    """The old system in the place of ``slot``: where its root is, and how it was started."""

    slot: str
    uuid: str
    kernel: str
    initrd: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Dispatcher:
    """All that the script depends on; ``arguments`` are the host's own, ``order`` the usual one."""

    slots: tuple[Slot, ...]
    order: tuple[str, ...]
    run_id: str
    arguments: tuple[str, ...] = ()
    timeout: int = MENU_SECONDS
    pause: int = PAUSE_SECONDS
    old: OldSystem | None = None


def from_plan(plan: Mapping[str, Any], *, with_old: bool = True) -> Dispatcher:
    """Return what the plan says of slots, run and consoles, and of the old system until ``commit``."""
    layout = ResolvedLayout.from_document(plan["layout"])
    slots = []
    for name in sorted(layout.slots):
        group, volume = layout.volume(layout.slots[name].root)
        slots.append(Slot(name, group.name, volume.name))
    first = str(plan["slot"])
    order = (first, *(slot.name for slot in slots if slot.name != first))
    old = _old(plan["keep_old"], order) if with_old and plan.get("keep_old") else None
    return Dispatcher(tuple(slots), order, str(plan["run_id"]), tuple(plan["kernel_arguments"]), old=old)


def _old(keep: Mapping[str, Any], order: Sequence[str]) -> OldSystem:
    return OldSystem(order[1], str(keep["uuid"]), str(keep["kernel"]), str(keep["initrd"]), tuple(keep["arguments"]))


def render(plan: Mapping[str, Any], *, with_old: bool = True) -> str:
    """Return the text of ``grub.cfg`` for the plan; raises ``Fault`` ``boot.argument_unsafe``."""
    return render_dispatcher(from_plan(plan, with_old=with_old))


def early_config(plan: Mapping[str, Any], pause: int = PAUSE_SECONDS) -> str:
    """Return the configuration that is embedded in the core image."""
    return _fill(EARLY, {"TERMINAL": terminal(plan["kernel_arguments"]), "PAUSE": str(pause)})


def render_dispatcher(wanted: Dispatcher) -> str:
    """Return the text of ``grub.cfg``; all that is filled in is checked first."""
    names = [slot.name for slot in wanted.slots]
    arguments = " ".join(check_arguments(wanted.arguments))
    filled = {
        "TERMINAL": terminal(wanted.arguments),
        "UNSET_STATES": "  " + " ; ".join(f"unset dr_{name}" for name in names),
        "STATE_NAMES": "".join(f" dr_{name}" for name in names),
        "STATE_OF": _per_slot(names, lambda name: f'set dr_found="$dr_{name}"'),
        "ORDER": " ".join(wanted.order),
        "FIRST": wanted.order[0],
        "ONCE_NAMES": " -o ".join(f'"$dr_once" = {name}' for name in (*names, RECOVERY)),
        "VOLUME_OF": "\n".join(_volume_of(slot) for slot in wanted.slots),
        "RUN": _safe_name(wanted.run_id),
        "ARGUMENTS": arguments,
        "SLOT_FIXED": " ".join((*ALWAYS, *DRACUT)),
        "TRIAL": " ".join(TRIAL),
        "RECOVERY_FIXED": " ".join(ALWAYS),
        "PAUSE": str(wanted.pause),
        "UNSET_TITLES": "\n".join(f'set dr_title_{name}=""' for name in names),
        "TITLE_NAMES": "".join(f" dr_title_{name}" for name in names),
        "MENU": "\n".join(_menu_entry(name, _boot(wanted)) for name in names),
        "OLD": _old_function(wanted),
        "BOOT": _boot(wanted),
        # Indexes of the menu: the recovery system, then "Start again".
        "FALLBACK": f"{len(names)} {len(names) + 1}",
        "TIMEOUT": str(wanted.timeout),
    }
    return _fill(SCRIPT, filled)


def _boot(wanted: Dispatcher) -> str:
    return "dr_boot" if wanted.old else "dr_boot_slot"


def _old_function(wanted: Dispatcher) -> str:
    """Return the functions that start the old system, nothing where it is not kept."""
    old = wanted.old
    if old is None:
        return ""
    kernel, initrd, uuid = check_arguments((old.kernel, old.initrd, old.uuid))
    filled = {
        "OLD_SLOT": old.slot,
        "OLD_UUID": uuid,
        "OLD_KERNEL": kernel,
        "OLD_INITRD": initrd,
        "OLD_ARGUMENTS": " ".join(check_arguments(old.arguments)),
        "OLD_FIXED": " ".join(ALWAYS),
        "ONE_SHOT": ONE_SHOT,
        "RUN": _safe_name(wanted.run_id),
    }
    return _fill(OLD, filled)


def check_arguments(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments; raises ``Fault`` where GRUB's parser would not hand one on unchanged."""
    for argument in arguments:
        if not _SAFE_ARGUMENT.fullmatch(argument):
            raise Fault(kinds.ARGUMENT_UNSAFE, argument=argument)
    return tuple(arguments)


def _fill(template: str, values: Mapping[str, str]) -> str:
    return re.sub(r"@([A-Z_]+)@", lambda match: values[match.group(1)], template)


def _safe_name(name: str) -> str:
    if not _SAFE_NAME.fullmatch(name):
        raise Fault(kinds.ARGUMENT_UNSAFE, argument=name)
    return name


def _per_slot(names: Sequence[str], body: Any) -> str:
    return "\n".join(f'  if [ "$1" = {name} ]; then {body(name)} ; fi' for name in names)


def _volume_of(slot: Slot) -> str:
    group, volume = _safe_name(slot.group), _safe_name(slot.volume)
    return "\n".join(
        (
            f'  if [ "$1" = {slot.name} ]; then',
            f'    set dr_volume="{slot.grub_device}"',
            f'    set dr_root="{slot.node}"',
            f'    set dr_lvm="{group}/{volume}"',
            "  fi",
        )
    )


def _menu_entry(name: str, boot: str) -> str:
    return "\n".join(
        (
            f"dr_label_of {name}",
            f'menuentry "slot {name} ($dr_label) $dr_title_{name}" --id {name} {{',
            f"  {boot} {name}",
            f"  dr_otherwise {name}",
            "}",
        )
    )


def terminal(arguments: Sequence[str]) -> str:
    """Return the commands for the first serial console of the kernel; the screen is always used."""
    for argument in arguments:
        match = _SERIAL.fullmatch(argument)
        if match is None:
            continue
        options = [f"--unit={match['unit']}", f"--speed={match['speed'] or 9600}"]
        if match["bits"]:
            options.append(f"--word={match['bits']}")
        if match["parity"]:
            options.append(f"--parity={_PARITY[match['parity']]}")
        return f"serial {' '.join(options)}\nterminal_input serial console\nterminal_output serial console\n"
    return ""
