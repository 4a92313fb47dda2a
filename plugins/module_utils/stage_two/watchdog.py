# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restarts a machine that hangs: in front of the point of no return into the old system, behind it into
stage two, which goes on from its journal.

The kernel's watchdog device (Documentation/watchdog/watchdog-api.rst) is fed as long as the work moves:
a phase or a step begins, bytes are counted, something is said. When nothing has moved for the limit of the
phase, feeding stops, and the hardware restarts the machine. It also ends a machine on which not even
this thread runs any more. It never ends one that waits for a person, and none that has nothing to start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..units import GIB, MIB
from .machine import Machine
from .status import Status

#: Seconds from the last feeding to the restart; the driver may know a shorter time only.
TIMEOUT = 60
_PAUSE = 5.0
#: A phase may stand still for this long, whatever its size: a disk that is reset, a host name that is
#: asked for in vain, mkfs, the sync at the end of a restore.
LEAST_SECONDS = 300.0
#: In these the program itself waits, with a limit of its own or for a person.
_WAITING = ("awaiting", "holding", "recovery")
_WITHOUT_RESTART = ("holding", "recovery")
#: linux/watchdog.h: _IOWR('W', 6, int) and _IOR('W', 7, int).
_SET_TIMEOUT = 0xC0045706
_GET_TIMEOUT = 0x80045707
#: A driver that is told so stops at the close (the "magic close").
_MAGIC = b"V"


def limit(plan: Mapping[str, Any], phase: str) -> float:
    """Return for how many seconds a phase may stand still.

    A rough multiple of what was predicted for all of it, or of what its bytes take on a slow disk.
    """
    predicted = plan.get("predicted", {}).get("phases", {}).get(phase, 0)
    sizes = {
        # Every interface waits 45 s for a lease in vain; a resume that is ended there would never be counted.
        "attach": 1200.0,
        "load": int(plan["payload"]["size"]) / (4 * MIB),
        "volumes": int(plan["disk"]["size_bytes"]) / GIB,
        "restore": int(plan["payload"]["unpacked_bytes"]) / (4 * MIB),
    }
    return max(LEAST_SECONDS, 4.0 * float(predicted), sizes.get(phase, 0.0))


class Device:
    """``/dev/watchdog``; open means armed."""

    def __init__(self, path: Path, no_way_out: Path) -> None:
        self._path = path
        self._no_way_out = no_way_out
        self._handle = -1
        self.timeout = float(TIMEOUT)

    @property
    def armed(self) -> bool:
        return self._handle >= 0

    @property
    def can_be_disarmed(self) -> bool:
        """Tell whether a close stops it; built with NOWAYOUT, or told so, it runs on for ever."""
        try:
            return self._no_way_out.read_text().strip() != "1"
        except OSError:
            return True

    def arm(self) -> None:
        """Open it, which starts it; raises ``OSError``."""
        handle = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        self._handle = handle
        seconds = bytearray(struct.pack("i", TIMEOUT))
        # Each driver has limits of its own; what it made of the wish is read back.
        with contextlib.suppress(OSError):
            fcntl.ioctl(handle, _SET_TIMEOUT, seconds, True)
        with contextlib.suppress(OSError):
            fcntl.ioctl(handle, _GET_TIMEOUT, seconds, True)
            self.timeout = float(struct.unpack("i", seconds)[0]) or float(TIMEOUT)

    def feed(self) -> None:
        os.write(self._handle, b"\0")

    def disarm(self) -> None:
        """Stop it and give it back; does nothing where it is not armed."""
        if self._handle < 0:
            return
        with contextlib.suppress(OSError):
            os.write(self._handle, _MAGIC)
        os.close(self._handle)
        self._handle = -1


class Watchdog:
    """Feeds the device from a thread of its own; ``look`` is one turn of it."""

    def __init__(
        self,
        machine: Machine,
        status: Status,
        plan: Mapping[str, Any],
        device: Device,
        may_restart: Callable[[], bool],
        given: float | None = None,
    ) -> None:
        """``may_restart`` tells whether there is something to start; ``given`` replaces every limit."""
        self._machine = machine
        self._status = status
        self._plan = plan
        self._device = device
        self._may_restart = may_restart
        self._given = given
        self._told = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Arm the device and begin to feed it; a machine without one goes on without."""
        try:
            self._device.arm()
        except OSError as error:
            self._machine.say(f"dualroot: no watchdog: {error.strerror}")
            return
        self._machine.say(f"dualroot: the watchdog is armed, {self._device.timeout:.0f} s")
        self._thread.start()

    def stop(self) -> None:
        """Disarm it: what starts next is not ours to be watched."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._device.disarm()

    def look(self) -> None:
        """Feed, do not feed, or disarm, by what the work does."""
        fields = self._status.fields()
        state = str(fields["state"])
        if state in _WITHOUT_RESTART or not self._may_restart():
            if self._device.can_be_disarmed:
                self._device.disarm()
                return
        elif state not in _WAITING and self._stands_still(str(fields["phase"]), str(fields["step"])):
            return
        self._told = False
        if not self._device.armed:
            self._device.arm()
        self._device.feed()

    def _stands_still(self, phase: str, step: str) -> bool:
        seconds = self._status.still_for()
        if seconds <= (self._given or limit(self._plan, phase)):
            return False
        if not self._told:
            self._told = True
            self._machine.say(f"dualroot: {phase}/{step} has not moved for {seconds:.0f} s, the watchdog restarts")
        return True

    def _run(self) -> None:
        while not self._stop.wait(min(_PAUSE, self._device.timeout / 6)):
            # A device that fails to be fed restarts the machine by itself.
            with contextlib.suppress(OSError):
                self.look()


def given_limit(arguments: Mapping[str, str]) -> float | None:
    """Return what ``dualroot.watchdog=SECONDS`` on the kernel line says, 0 for no watchdog at all."""
    text = arguments.get("dualroot.watchdog", "")
    return float(text) if text.isascii() and text.isdigit() else None


def device(root: Path) -> Device:
    return Device(root / "dev/watchdog", root / "sys/class/watchdog/watchdog0/nowayout")
