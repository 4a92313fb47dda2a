# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One virtual machine: a folder with its disk overlay, its serial log, its sockets and its process.

A machine is started *attached*, and then dies with the process that started it, even if that is killed;
or *detached*, and then has a lifetime after which ``timeout`` ends it. Either way nothing stays behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from . import accelerator, recipes
from .credentials import Credentials
from .image import Image, build
from .qmp import Monitor, QmpError

#: Under emulation a Debian 11 is reachable after 30 s; the rest is for a busy machine.
SSH_SECONDS = 300.0
START_SECONDS = 20.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.2
CLONE = "clone"


class MachineError(Exception):
    """A machine did not do what it was asked; the text says where its logs are."""


@dataclass(frozen=True)
class Options:
    """How a machine is made. ``lifetime`` is in seconds.

    An extra disk is a size as QEMU writes it (``8G``), or ``CLONE`` for a twin of the system disk.
    """

    image: str
    memory_mib: int = 1024
    cpus: int = 2
    extra_disks: tuple[str, ...] = ()
    serial: str = "LAB0815"
    lifetime: int = 4 * 3600


class Machine:
    """A machine in ``folder``; everything about it is on disk, so any process can take it up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        document = json.loads((folder / "machine.json").read_text())
        document["extra_disks"] = tuple(document["extra_disks"])
        self.options = Options(**document)

    @classmethod
    def create(cls, folder: Path, options: Options, image: Image | None = None) -> Machine:
        """Make the machine's folder, with an overlay on its image; build the image if need be."""
        image = image or build(recipes.RECIPES[options.image])
        folder.mkdir(parents=True, mode=0o700)
        _save(options, folder)
        for number, size in enumerate((CLONE, *options.extra_disks)):
            _create_disk(folder / f"disk{number}.qcow2", size, image.disk)
        machine = cls(folder)
        machine._write_login(image.credentials)
        return machine

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def disk(self) -> Path:
        return self.folder / "disk0.qcow2"

    @property
    def serial_log(self) -> Path:
        return self.folder / "serial.log"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def private_key(self) -> Path:
        return self.folder / "id_ed25519"

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yml"

    @property
    def credentials(self) -> Credentials:
        return Credentials.load(self.folder / "credentials.json")

    @property
    def port(self) -> int:
        """The loopback port of the guest's SSH; the same for the machine's whole life."""
        return int((self.folder / "port").read_text())

    @property
    def mac(self) -> str:
        octets = hashlib.sha256(self.name.encode()).digest()[:3]
        return "52:54:00:" + ":".join(f"{octet:02x}" for octet in octets)

    def start(self, *, detached: bool = False) -> None:
        """Start the machine; returns when QEMU runs and its port is known."""
        if self.process_id() is not None:
            return
        supervisor = ["setpriv", "--pdeathsig", "KILL", "--"]
        if detached:
            supervisor = ["timeout", "--kill-after=10", str(self.options.lifetime)]
        with (self.folder / "qemu.log").open("ab") as log:
            process = subprocess.Popen(
                [*supervisor, *self._qemu()],
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
        """Press the power button and wait until the guest has shut itself down."""
        with self.monitor() as monitor:
            monitor.execute("system_powerdown")
        self._await(lambda: self.process_id() is None, seconds, "the guest did not shut down")
        self.stop()

    def change(self, **options: Any) -> None:
        """Change options of the machine, as ``memory_mib``; they count from its next start on."""
        self.options = replace(self.options, **options)
        _save(self.options, self.folder)

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

    def ssh_command(self, *command: str) -> list[str]:
        """Return the argv that runs ``command`` in the guest, as its user and with its key."""
        argv = ["ssh", "-i", str(self.private_key), "-p", str(self.port), "-o", "IdentitiesOnly=yes"]
        argv += ["-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={self.known_hosts}"]
        argv += ["-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ControlPath=none"]
        return [*argv, f"{self.credentials.user}@127.0.0.1", *command]

    def ssh(self, command: str, *, timeout: float = 120.0) -> str:
        """Run a shell command in the guest and return its output; raises ``MachineError``."""
        done = subprocess.run(
            self.ssh_command(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise MachineError(f"{command}: status {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="replace")

    def login_by_password(self) -> str:
        """Log in with the password alone and return the name of the user who is in."""
        argv = self.ssh_command("id", "-un")
        # The first value of an option counts, so these go before the others.
        argv[1:1] = ["-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password", "-o", "BatchMode=no"]
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.credentials.password + "\n")
        argv = ["sshpass", "-f", str(secret), *argv]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
        if done.returncode != 0:
            raise MachineError(f"{self.name}: no login by password: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode().strip()

    def wait_for_ssh(self, seconds: float = SSH_SECONDS) -> None:
        """Wait until the guest lets its user in."""
        self._await(self._answers, seconds, f"no SSH; see {self.serial_log}")

    def _answers(self) -> bool:
        if self.process_id() is None:
            raise MachineError(f"{self.name}: QEMU has ended; see {self.folder / 'qemu.log'}")
        # QEMU accepts for the guest at once; only the banner shows that there is a server.
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.settimeout(5)
                if not connection.recv(4).startswith(b"SSH"):
                    return False
            return self.ssh("echo in", timeout=60) == "in\n"
        except (OSError, MachineError, subprocess.TimeoutExpired):
            return False

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
        (self.folder / "port").write_text(f"{port}\n")
        self._write_connection(port)
        return self.process_id() is not None

    def _write_login(self, login: Credentials) -> None:
        login.save(self.folder / "credentials.json")
        self.private_key.touch(mode=0o600)
        self.private_key.write_text(login.private_key)

    def _write_connection(self, port: int) -> None:
        login = self.credentials
        lines = [f"[127.0.0.1]:{port} {key}\n" for key in login.known_hosts]
        self.known_hosts.write_text("".join(lines))
        options = f"-o StrictHostKeyChecking=yes -o UserKnownHostsFile={self.known_hosts}"
        host = {
            "ansible_host": "127.0.0.1",
            "ansible_port": port,
            "ansible_user": login.user,
            "ansible_ssh_private_key_file": str(self.private_key),
            "ansible_ssh_common_args": f"{options} -o IdentitiesOnly=yes",
            "ansible_become": True,
        }
        # JSON is YAML, and this file needs no library to be written.
        document = {"all": {"hosts": {self.name: host}}}
        self.inventory.write_text(json.dumps(document, indent=2) + "\n")

    def _qemu(self) -> list[str]:
        """Return QEMU's argv; it runs in the machine's folder, so its paths are short and relative."""
        port = self.port if (self.folder / "port").exists() else 0
        argv = ["qemu-system-x86_64", "-name", self.name, *accelerator.qemu_arguments()]
        argv += ["-machine", "pc", "-m", str(self.options.memory_mib), "-smp", str(self.options.cpus)]
        argv += ["-display", "none", "-pidfile", "qemu.pid"]
        argv += ["-qmp", "unix:qmp.sock,server=on,wait=off"]
        console = "path=console.sock,server=on,wait=off,logfile=serial.log,logappend=on"
        argv += ["-chardev", f"socket,id=console,{console}"]
        argv += ["-serial", "chardev:console"]
        argv += ["-netdev", f"user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:22"]
        # A fixed place on the bus, so that the guest names the interface ens3.
        argv += ["-device", f"virtio-net-pci,netdev=net0,mac={self.mac},addr=0x3,romfile="]
        argv += ["-device", "virtio-rng-pci"]
        for number in range(1 + len(self.options.extra_disks)):
            disk = f"disk{number}"
            argv += ["-drive", f"file={disk}.qcow2,if=none,id={disk},cache=unsafe,discard=unmap"]
            argv += [
                "-device",
                f"virtio-blk-pci,drive={disk},serial={self.options.serial}-{number},addr={8 + number:#x}",
            ]
        return argv


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


def _create_disk(path: Path, size: str, backing: Path) -> None:
    what = ["-b", str(backing), "-F", "raw", str(path)] if size == CLONE else [str(path), size]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *what], check=True)
