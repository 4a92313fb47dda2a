# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one door through which the engine runs commands.

Argument lists only, C locale, bytes out; a failure keeps argv, status and both outputs. Nothing
else in the engine imports ``subprocess``, so a test that injects another runner runs no command.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from .faults import command as kinds
from .faults.fault import Fault

#: How much of a command's error output a fault shows, in characters.
SHOWN_STDERR = 600


@dataclass(frozen=True)
class Result:
    """What a command left behind: ``argv``, ``returncode``, and both outputs as bytes."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes = b""
    stderr: bytes = b""

    @property
    def text(self) -> str:
        return self.stdout.decode("utf-8", "replace")

    @property
    def error_text(self) -> str:
        return self.stderr.decode("utf-8", "replace")

    def json(self) -> Any:
        """Parse the output as JSON; raises ``ValueError`` where it is none."""
        return json.loads(self.stdout)


class CommandFailed(Fault):
    """A command ended with a status that its caller did not accept."""

    def __init__(self, result: Result) -> None:
        self.result = result
        shown = result.error_text.strip()[-SHOWN_STDERR:] or result.text.strip()[-SHOWN_STDERR:]
        super().__init__(
            kinds.FAILED,
            command=" ".join(result.argv),
            returncode=result.returncode,
            stderr=shown or "(nothing)",
        )


class Runner(Protocol):
    """What the engine asks of a runner; tests inject their own."""

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        accept: Container[int] = (0,),
        timeout: float | None = None,
    ) -> Result:
        """Run ``argv`` to its end.

        ``accept`` holds the statuses that are no failure. Raises ``CommandFailed`` for any other,
        ``Fault`` ``command.missing`` or ``command.timed_out``. ``timeout`` is in seconds.
        """

    def start(
        self,
        argv: Sequence[str],
        *,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start ``argv`` for streaming; the caller waits for it. Raises ``command.missing``."""


class CommandRunner:
    """Runs real commands, in the C locale and with an explicit search path."""

    SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = {**os.environ, "LC_ALL": "C", "LANG": "C", "PATH": self.SEARCH_PATH}
        # The bundled interpreter sets these for itself; a host's own Python tools must not see them.
        for name in ("PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH"):
            self._environment.pop(name, None)
        self._environment.update(environment or {})

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        accept: Container[int] = (0,),
        timeout: float | None = None,
    ) -> Result:
        try:
            done = subprocess.run(
                list(argv),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                env=self._environment,
                timeout=timeout,
                check=False,
            )
        except FileNotFoundError as error:
            raise Fault(kinds.MISSING, program=argv[0]) from error
        except subprocess.TimeoutExpired as error:
            raise Fault(kinds.TIMED_OUT, command=" ".join(argv), seconds=timeout) from error
        result = Result(tuple(argv), done.returncode, done.stdout, done.stderr)
        if done.returncode not in accept:
            raise CommandFailed(result)
        return result

    def start(
        self,
        argv: Sequence[str],
        *,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(list(argv), stdin=stdin, stdout=stdout, stderr=stderr, env=self._environment)
        except FileNotFoundError as error:
            raise Fault(kinds.MISSING, program=argv[0]) from error
