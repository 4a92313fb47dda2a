# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tools of the unit tests keep what they promise."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandFailed, CommandRunner

from tests.support.fake_runner import Answers, FakeRunner, failed


def test_answers_and_calls():
    runner = FakeRunner({("a", "1"): {"x": 1}, ("b",): Answers(["one", "two"]), ("c",): failed(3, "no")})
    assert runner.run(["a", "1"]).json() == {"x": 1}
    assert [runner.run(["b"]).text for _turn in range(3)] == ["one", "two", "two"]
    assert runner.run(["c"], accept=(0, 3)).returncode == 3
    with pytest.raises(CommandFailed):
        runner.run(["c"])
    assert runner.calls == [("a", "1"), ("b",), ("b",), ("b",), ("c",), ("c",)]


def test_unknown_command_fails_the_test():
    with pytest.raises(AssertionError, match="does not know"):
        FakeRunner({}).run(["rm", "-rf", "/"])


def test_real_commands_are_forbidden():
    with pytest.raises(AssertionError, match="tried to run"):
        CommandRunner().run(["true"])
    with pytest.raises(AssertionError, match="tried to run"):
        subprocess.Popen(["true"])
