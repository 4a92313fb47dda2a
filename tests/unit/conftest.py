# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Unit tests cannot run commands: what a unit test passes, it passes on any machine."""

from __future__ import annotations

import os
import subprocess
from typing import Any, NoReturn

import pytest


def _forbidden(*arguments: Any, **_unused: Any) -> NoReturn:
    raise AssertionError(f"a unit test tried to run a command: {arguments!r}")


@pytest.fixture(autouse=True)
def no_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every way to start a program fail the test."""
    for name in ("run", "Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput"):
        monkeypatch.setattr(subprocess, name, _forbidden)
    for name in ("system", "popen", "posix_spawn", "posix_spawnp", "execv", "execve", "execvp", "execvpe"):
        monkeypatch.setattr(os, name, _forbidden)
