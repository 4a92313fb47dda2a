# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finding and bringing a Python with raw commands."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible_collections.dualroot.migrate.plugins.action import interpreter as subject

DIGEST = "ab" * 32
ARCHIVE = {"sha256": DIGEST, "size": 3}


@pytest.fixture
def provide(monkeypatch, tmp_path):
    """Return a function that runs the action; ``answers`` are what the host prints, in turn."""
    archive = tmp_path / "interpreter.tar.gz"
    archive.write_bytes(b"abc")

    def run(arguments, *answers, check_mode=False):
        chosen = {**arguments, **({"archive": str(archive)} if "sha256" in arguments else {})}
        task = MagicMock(args=chosen, check_mode=check_mode, async_val=0)
        action = subject.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
        left = list(answers)
        action._low_level_execute_command = MagicMock(
            side_effect=lambda text, **_options: {"rc": 0, "stdout": left.pop(0), "stderr": ""}
        )
        result = action.run(task_vars={"inventory_hostname": "gate"})
        assert not left
        return SimpleNamespace(**result), action._low_level_execute_command

    return run


def test_the_host_has_one(provide):
    result, shell = provide({"prefer": "/opt/python3"}, "DUALROOT-PYTHON /opt/python3 3.11.2\r\n")
    assert (result.interpreter, result.version, result.bundled, result.changed) == (
        "/opt/python3",
        "3.11.2",
        False,
        False,
    )
    text = shell.call_args.args[0]
    assert "; for p in /opt/python3 python3.13 " in text
    assert text.index("python3.9") < text.index("platform-python") < text.index(subject.WRAPPER)


def test_a_wish_that_is_no_path_is_ignored(provide):
    _result, shell = provide({"prefer": "auto_silent"}, "DUALROOT-PYTHON /usr/bin/python3 3.9.2")
    assert "auto_silent" not in shell.call_args.args[0]


def test_the_bundled_one_is_brought(provide):
    result, shell = provide(
        ARCHIVE,
        "",
        "",
        "DUALROOT 0 part 0",
        "",
        "DUALROOT-WHOLE",
        "DUALROOT-UNPACKED",
        f"DUALROOT-PYTHON {subject.WRAPPER} 3.13.1",
    )
    assert (result.interpreter, result.bundled, result.changed) == (subject.WRAPPER, True, True)
    assert shell.call_args_list[3].kwargs["in_data"] == b"abc"


def test_the_bundled_one_is_there_and_still_the_only_one(provide):
    result, _shell = provide(ARCHIVE, f"DUALROOT-PYTHON {subject.WRAPPER} 3.13.1")
    assert (result.bundled, result.changed) == (True, False)


@pytest.mark.parametrize(
    ("arguments", "answers", "check_mode", "word"),
    [
        ({}, [""], False, "none was given"),
        (ARCHIVE, [""], True, "check mode"),
        (ARCHIVE, ["", DIGEST, ""], False, "noexec"),
    ],
)
def test_no_python(provide, arguments, answers, check_mode, word):
    result, _shell = provide(arguments, *answers, check_mode=check_mode)
    assert result.failed
    assert result.fault["id"] == "interpreter.missing"
    assert word in result.fault["what"]


PYTHON = "DUALROOT-PYTHON /usr/bin/python3 3.9.2"


def test_an_openssl_is_brought_where_there_is_none(provide):
    wish = {**ARCHIVE, "openssl": True}
    result, _shell = provide(wish, PYTHON, "", "DUALROOT 0 part 0", "", "DUALROOT-WHOLE", "DUALROOT-UNPACKED")
    assert (result.interpreter, result.bundled, result.openssl, result.changed) == (
        "/usr/bin/python3",
        False,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("arguments", "answer", "check_mode", "openssl"),
    [
        ({**ARCHIVE, "openssl": True}, f"DUALROOT-OPENSSL\n{PYTHON}", False, True),
        ({**ARCHIVE, "openssl": True}, PYTHON, True, False),
        (ARCHIVE, PYTHON, False, False),
        ({"openssl": True}, PYTHON, False, False),
    ],
    ids=["the host has one", "check mode", "not asked for", "none to bring"],
)
def test_no_openssl_is_brought(provide, arguments, answer, check_mode, openssl):
    result, _shell = provide(arguments, answer, check_mode=check_mode)
    assert (result.changed, result.openssl) == (False, openssl)


@pytest.mark.parametrize(("answer", "changed"), [("DUALROOT-REMOVED", True), ("", False)])
def test_removal(provide, answer, changed):
    result, shell = provide({"state": "absent"}, answer)
    assert result.changed is changed
    assert "rm -rf" in shell.call_args.args[0]


def test_removal_in_check_mode(provide):
    result, shell = provide({"state": "absent"}, "yes", check_mode=True)
    assert result.changed
    assert "rm" not in shell.call_args.args[0]
