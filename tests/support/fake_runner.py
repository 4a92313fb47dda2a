# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A runner that runs nothing: it answers from a table and remembers every argv.

    runner = FakeRunner({("lsblk", "--json"): {"blockdevices": []}, ("blkid", "/dev/vda1"): b"..."})
    runner = FakeRunner(handler=lambda argv, stdin: Result(tuple(argv), 0, b"out"))

An answer is a ``Result``, bytes, text, a JSON-able dict or list, ``None`` (success, no output), an
exception to raise, a callable ``(argv, stdin) -> answer``, or ``Answers([...])`` to give several
calls of the same argv one answer each. Unknown argv raise ``AssertionError``, so that a test states
the whole command line of everything that its subject runs.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandFailed, Result


class Answers:
    """Answers for repeated calls of one argv, in their order; the last one stays."""

    def __init__(self, answers: Sequence[Any]) -> None:
        self._left = list(answers)

    def next(self) -> Any:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]


class FakeProcess:
    """What ``FakeRunner.start`` returns: the part of ``subprocess.Popen`` that streaming code uses."""

    def __init__(self, result: Result) -> None:
        self.args = result.argv
        self.pid = 4242
        self.returncode: int | None = None
        self._returncode = result.returncode
        self._outputs = (result.stdout, result.stderr)
        self.stdin = io.BytesIO()
        self.stdout = io.BytesIO(result.stdout)
        self.stderr = io.BytesIO(result.stderr)

    def __enter__(self) -> FakeProcess:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.wait()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self.returncode = self._returncode
        return self.returncode

    def communicate(self, input: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:
        self.wait()
        return self._outputs

    def terminate(self) -> None:
        self._returncode = -15

    kill = terminate


class FakeRunner:
    """Satisfies ``runner.Runner``; ``calls`` holds every argv, ``inputs`` what each got on stdin."""

    def __init__(
        self,
        answers: Mapping[tuple[str, ...], Any] | None = None,
        *,
        handler: Callable[[Sequence[str], bytes | None], Any] | None = None,
    ) -> None:
        self.answers: dict[tuple[str, ...], Any] = dict(answers or {})
        self.handler = handler
        self.calls: list[tuple[str, ...]] = []
        self.inputs: list[bytes | None] = []

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        accept: Container[int] = (0,),
        timeout: float | None = None,
    ) -> Result:
        result = self._answer(tuple(argv), stdin)
        if result.returncode not in accept:
            raise CommandFailed(result)
        return result

    def start(self, argv: Sequence[str], *, stdin: Any = None, stdout: Any = None, stderr: Any = None) -> Any:
        answer = self._look_up(tuple(argv), None)
        if isinstance(answer, BaseException):
            raise answer
        if hasattr(answer, "poll"):
            return answer
        process = FakeProcess(_as_result(tuple(argv), answer))
        if hasattr(stdout, "write"):
            stdout.write(process.stdout.read())
        return process

    def _answer(self, argv: tuple[str, ...], stdin: bytes | None) -> Result:
        answer = self._look_up(argv, stdin)
        if isinstance(answer, BaseException):
            raise answer
        return _as_result(argv, answer)

    def _look_up(self, argv: tuple[str, ...], stdin: bytes | None) -> Any:
        assert all(isinstance(word, str) for word in argv), f"not all text: {argv!r}"
        self.calls.append(argv)
        self.inputs.append(stdin)
        if argv in self.answers:
            answer = self.answers[argv]
        elif self.handler is not None:
            answer = self.handler(argv, stdin)
        else:
            raise AssertionError(f"a command that the test does not know: {argv!r}")
        if isinstance(answer, Answers):
            answer = answer.next()
        return answer(argv, stdin) if callable(answer) else answer


def _as_result(argv: tuple[str, ...], answer: Any) -> Result:
    if isinstance(answer, Result):
        return answer
    if answer is None:
        return Result(argv, 0)
    if isinstance(answer, bytes):
        return Result(argv, 0, answer)
    if isinstance(answer, str):
        return Result(argv, 0, answer.encode())
    return Result(argv, 0, json.dumps(answer).encode())


def failed(returncode: int = 1, stderr: str = "", stdout: str = "") -> Callable[..., Result]:
    """Return an answer that fails with ``returncode``, for any argv."""
    return lambda argv, _stdin: Result(tuple(argv), returncode, stdout.encode(), stderr.encode())
