# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side: SSH to a host that goes down and comes up as another system."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import tempfile
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.text.converters import to_text

from ..module_utils.waiting.observation import PROBE, Observation, Silence, read_answer, read_failure

#: Prepended to the operator's own ssh_args, because ssh takes the first value of an option. A living
#: ControlPersist socket survives a reboot and then answers for a system that is gone; and the options
#: bound what ssh itself can bound: connecting, the key exchange, a peer that fell silent.
SSH_OPTIONS = (
    "-o ControlMaster=no -o ControlPath=none -o ConnectTimeout=8 -o ConnectionAttempts=1 "
    "-o ServerAliveInterval=5 -o ServerAliveCountMax=3"
)


class LinkDown(Exception):
    """The connection failed; ``observation`` says how."""

    def __init__(self, observation: Observation) -> None:
        self.observation = observation
        super().__init__(getattr(observation, "reason", "no answer"))


def _bounded_ssh(ssh: str, bound: int) -> str:
    """Write a program that becomes ``ssh`` with an alarm set; return its path.

    Between the key exchange and the end of the login nothing in ssh ends the wait for a host that
    was reset, and the connection plugin waits for ssh without a limit. An alarm survives exec(2)
    (see alarm(2)), so the kernel ends a hung ssh; no thread, no search for child processes.
    """
    handle, path = tempfile.mkstemp(prefix="dualroot-ssh-", dir=C.DEFAULT_LOCAL_TMP)
    program = "import os, signal, sys; signal.alarm(int(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"
    words = [sys.executable, "-I", "-S", "-c", program, str(bound), ssh]
    with os.fdopen(handle, "w", encoding="utf-8") as script:
        script.write("#!/bin/sh\nexec " + " ".join(shlex.quote(word) for word in words) + ' "$@"\n')
    os.chmod(path, 0o700)
    return path


class Link:
    """Runs shell text on a host without become, each time over a connection of its own.

    Use as a context manager: the connection's options are put back at the end. ``bound`` is in
    seconds and holds for each command.
    """

    def __init__(self, connection: Any, bound: int = 40) -> None:
        self._connection = connection
        self._bound = bound
        self._before: dict[str, Any] = {}
        self._wrapper: str | None = None

    def __enter__(self) -> Link:
        self.reset()
        if str(self._connection.transport).rpartition(".")[2] == "ssh":
            get = self._connection.get_option
            self._wrapper = _bounded_ssh(get("ssh_executable"), self._bound)
            self._set("ssh_args", f"{SSH_OPTIONS} {get('ssh_args') or ''}")
            self._set("ssh_executable", self._wrapper)
            # The wait has its own rhythm; retries inside a probe would hide the state in between.
            self._set("reconnection_retries", 0)
        return self

    def __exit__(self, *_unused: object) -> None:
        for name, value in self._before.items():
            self._connection.set_option(name, value)
        if self._wrapper is not None:
            os.unlink(self._wrapper)

    def _set(self, name: str, value: Any) -> None:
        self._before[name] = self._connection.get_option(name)
        self._connection.set_option(name, value)

    def reset(self) -> None:
        """Close the shared connection if there is one; what it says does not matter."""
        # Plugins without a lasting connection have nothing to close.
        with contextlib.suppress(AnsibleError, AttributeError, NotImplementedError):
            self._connection.reset()

    def run(self, command: str) -> tuple[int, str, str]:
        """Run POSIX sh text; return status, output, errors. Raises ``LinkDown``."""
        if self._wrapper is None:
            self.reset()
        try:
            status, out, err = self._connection.exec_command(f"/bin/sh -c {shlex.quote(command)}", sudoable=False)
        except (AnsibleConnectionFailure, AnsibleError) as error:
            raise LinkDown(read_failure(to_text(error))) from error
        if status < 0:
            raise LinkDown(Silence(f"ssh hung and was ended after {self._bound} s"))
        return status, to_text(out), to_text(err)

    def observe(self) -> Observation:
        """Look at the host once."""
        try:
            status, out, err = self.run(PROBE)
        except LinkDown as down:
            return down.observation
        if status != 0:
            return read_failure(err or f"the probe ended with status {status}")
        return read_answer(out, err)
