# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One virtual machine: a folder with its disk overlay, its serial log, its sockets and its process.

A machine is started *attached*, and then dies with the process that started it, even if that is killed;
or *detached*, and then has a lifetime after which ``timeout`` ends it. Either way nothing stays behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from . import accelerator, firmware, recipes
from .guest import Guest, MachineError
from .hardware import WRITES, Options, create_disks, qemu_arguments
from .image import Image, build
from .qmp import Monitor, QmpError

#: Under emulation a Debian 11 is reachable after 30 s; the rest is for a busy machine.
SSH_SECONDS = 300.0
START_SECONDS = 20.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.2


class Machine(Guest):
    """A machine in ``folder``; everything about it is on disk, so any process can take it up."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        document = json.loads((folder / "machine.json").read_text())
        document["extra_disks"] = tuple(document["extra_disks"])
        self.options = Options(**document)

    @classmethod
    def create(cls, folder: Path, options: Options, image: Image | None = None) -> Machine:
        """Make the machine's folder, with an overlay on its image; build the image if need be."""
        image = image or build(recipes.RECIPES[options.image])
        options = replace(options, firmware=options.firmware or image.recipe.firmware)
        folder.mkdir(parents=True, mode=0o700)
        _save(options, folder)
        if image.variables.exists():
            firmware.make_variables(folder, image.variables)
        create_disks(folder, options, image.disk)
        machine = cls(folder)
        machine.write_login(image.credentials)
        return machine

    @property
    def disk(self) -> Path:
        return self.folder / "disk0.qcow2"

    @property
    def serial_log(self) -> Path:
        return self.folder / "serial.log"

    def start(self, *, detached: bool = False) -> None:
        """Start the machine; returns when QEMU runs and its port is known."""
        if self.process_id() is not None:
            return
        supervisor = ["setpriv", "--pdeathsig", "KILL", "--"]
        if detached:
            supervisor = ["timeout", "--kill-after=10", str(self.options.lifetime)]
        # The port stays the same for the machine's whole life: it is part of the host's identity.
        port = self.port if (self.folder / "port").exists() else 0
        argv = qemu_arguments(self.name, self.options, accelerator.qemu_arguments(), port)
        if self.options.log_writes:
            (self.folder / WRITES).write_bytes(b"")
        with (self.folder / "qemu.log").open("ab") as log:
            process = subprocess.Popen(
                [*supervisor, *argv],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=detached,
            )
        try:
            self._await(lambda: self._learn_port(process), START_SECONDS, "QEMU did not start")
        except BaseException:
            self.stop()
            process.kill()
            process.wait()
            raise
        if not detached:
            self._child = process

    def process_id(self) -> int | None:
        """Return the id of the machine's QEMU, None where it does not run."""
        try:
            number = int((self.folder / "qemu.pid").read_text())
            command = Path(f"/proc/{number}/cmdline").read_bytes()
            folder = Path(f"/proc/{number}/cwd").resolve()
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        # The number may have become another process's: nothing is ended that is not this machine.
        ours = b"qemu-system" in command.split(b"\0")[0] and folder == self.folder.resolve()
        return number if ours else None

    def monitor(self) -> Monitor:
        return Monitor(self.folder / "qmp.sock")

    def stop(self) -> None:
        """End the machine at once, as a power cut does, and wait until its process is gone."""
        number = self.process_id()
        if number is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGTERM)
            try:
                self._await(lambda: self.process_id() is None, STOP_SECONDS, "QEMU does not end")
            except MachineError:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
        child: subprocess.Popen[bytes] | None = self.__dict__.pop("_child", None)
        if child is not None:
            child.wait(STOP_SECONDS)

    def power_down(self, seconds: float = 120.0) -> None:
        """Let the guest shut itself down and wait until it is off."""
        # By a command: a host without logind does not hear the power button. The connection may end first.
        with contextlib.suppress(MachineError):
            self.ssh("sudo systemctl poweroff")
        self._await(lambda: self.process_id() is None, seconds, "the guest did not shut down")
        self.stop()

    def change(self, **options: Any) -> None:
        """Change options of the machine, as ``memory_mib``; they count from its next start on."""
        self.options = replace(self.options, **options)
        _save(self.options, self.folder)

    def forget_firmware(self) -> None:
        """Make the firmware forget all its variables, the boot entries with them, as an empty battery does."""
        firmware.make_variables(self.folder)

    def stop_at_reboot(self, seconds: float) -> None:
        """Let the guest go on until it reboots, and be off then; returns when it is off."""
        with self.monitor() as monitor:
            monitor.execute("set-action", reboot="shutdown")
        self._await(lambda: self.process_id() is None, seconds, "the guest did not reboot")
        self.stop()

    def forward_ssh(self, forwarded: bool) -> None:
        """Let the controller reach the guest or not; the guest's own network stays as it is."""
        with self.monitor() as monitor:
            if forwarded:
                monitor.human(f"hostfwd_add net0 tcp:127.0.0.1:{self.port}-:22")
            else:
                monitor.human(f"hostfwd_remove net0 tcp:127.0.0.1:{self.port}")

    def console(self) -> str:
        """Return all that the guest has written to its serial console."""
        return self.serial_log.read_text(errors="replace") if self.serial_log.exists() else ""

    def wait_for_console(self, text: str, seconds: float, since: int = 0) -> None:
        """Wait until ``text`` appears on the console, behind its first ``since`` characters."""
        self._await(lambda: text in self.console()[since:], seconds, f"no {text!r} on the console")

    def reset(self) -> None:
        """Press the reset button."""
        with self.monitor() as monitor:
            monitor.execute("system_reset")

    def destroy(self) -> None:
        """End the machine and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder)

    def wait_for_ssh(self, seconds: float = SSH_SECONDS) -> None:
        """Wait until the guest lets its user in."""
        self._await(self._answers, seconds, f"no SSH; see {self.serial_log}")

    def _answers(self) -> bool:
        if self.process_id() is None:
            raise MachineError(f"{self.name}: QEMU has ended; see {self.folder / 'qemu.log'}")
        return self.answers()

    def _await(self, done: Callable[[], bool], seconds: float, complaint: str) -> None:
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                raise MachineError(f"{self.name}: {complaint} (waited {seconds:.0f} s)")
            time.sleep(POLL_SECONDS)

    def _learn_port(self, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            said = (self.folder / "qemu.log").read_text(errors="replace")
            raise MachineError(f"{self.name}: QEMU ended with {process.returncode}: {said[-800:]}")
        try:
            with self.monitor() as monitor:
                port = monitor.ssh_port()
        except (QmpError, ValueError):
            return False
        self.write_connection(port)
        return self.process_id() is not None


@contextlib.contextmanager
def running(folder: Path, options: Options, image: Image | None = None) -> Iterator[Machine]:
    """Make, start and reach a machine; end it in every case. The folder stays, for its logs."""
    machine = Machine.create(folder, options, image)
    try:
        machine.start()
        machine.wait_for_ssh()
        yield machine
    finally:
        machine.stop()


def end_on_signal() -> None:
    """Let SIGTERM end this process like an error does, so that what it started is ended too."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


def _save(options: Options, folder: Path) -> None:
    (folder / "machine.json").write_text(json.dumps(asdict(options), indent=1) + "\n")
