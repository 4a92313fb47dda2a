# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the probe prints and what ssh says, read back."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.observation import (
    PROBE,
    Answer,
    KeyChanged,
    Silence,
    read_answer,
    read_failure,
)

STAGE_TWO_OUTPUT = """Welcome to stage two
DUALROOT-BEGIN
boot_id 6f0c\r
uptime 12.50 11.02
cmdline BOOT_IMAGE=/boot/dualroot/vmlinuz dualroot.mode=convert dualroot.run=20260101T000000Z-abc123 gpt
DUALROOT-STATUS
{"state": "running",
 "phase": "restore", "percent": 43}
DUALROOT-FACT

DUALROOT-SLOTS
DUALROOT-END
"""


def test_the_probe_reads_only():
    for forbidden in (">/", "> /", "rm ", "touch", "sudo"):
        assert forbidden not in PROBE.replace("2>/dev/null", "")


def test_an_answer_of_stage_two():
    found = read_answer(STAGE_TWO_OUTPUT)
    assert found == Answer(
        boot_id="6f0c",
        uptime=12.5,
        arguments={"mode": "convert", "run": "20260101T000000Z-abc123"},
        status={"state": "running", "phase": "restore", "percent": 43},
    )


def test_an_answer_of_the_new_system():
    text = (
        "DUALROOT-BEGIN\nboot_id b\nuptime x\ncmdline root=/dev/VA/root dualroot.slot=a\n"
        "DUALROOT-STATUS\n\n"
        'DUALROOT-FACT\n{"slot": "a", "run_id": "r"}\n'
        "DUALROOT-SLOTS\ndr_order=a b\ndr_a=trying\n"
        'DUALROOT-OUTCOMES\n{"slot": "b", "event": "fell_back", "reason": "a=b"}\n{"cut off\n\n'
        'DUALROOT-HEALTH\n{"result": "running"}\nDUALROOT-END\n'
    )
    found = read_answer(text)
    assert isinstance(found, Answer)
    assert found.uptime == 0.0
    assert found.status is None
    assert found.fact == {"slot": "a", "run_id": "r"}
    assert found.slots == {"dr_order": "a b", "dr_a": "trying"}
    assert found.outcomes == ({"slot": "b", "event": "fell_back", "reason": "a=b"},)
    assert found.health == {"result": "running"}


@pytest.mark.parametrize("text", ['{"state": "runn', "[1]", ""])
def test_a_status_that_is_being_rewritten_counts_as_none(text):
    output = STAGE_TWO_OUTPUT.replace('{"state": "running",\n "phase": "restore", "percent": 43}', text)
    found = read_answer(output)
    assert isinstance(found, Answer)
    assert found.status is None
    assert found.arguments["mode"] == "convert"


@pytest.mark.parametrize("name", ["boot_id", "cmdline"])
def test_a_system_whose_programs_are_killed_has_not_come_back(name: str) -> None:
    """The shell of the probe lives on for a moment when a shutdown ends what it started."""
    told = [one for one in STAGE_TWO_OUTPUT.split("\n") if one.startswith(name)]
    assert len(told) == 1
    found = read_answer(STAGE_TWO_OUTPUT.replace(told[0], f"{name} "))
    assert isinstance(found, Silence) and "going down" in found.reason


@pytest.mark.parametrize("text", ["", "This account is not available.\n", "DUALROOT-BEGIN\nboot_id b\n"])
def test_a_cut_or_foreign_answer_is_silence(text):
    assert isinstance(read_answer(text), Silence)


def test_a_warning_of_a_changed_key_beside_an_answer():
    found = read_answer(STAGE_TWO_OUTPUT, "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @")
    assert isinstance(found, Answer)
    assert found.key_warning


@pytest.mark.parametrize(
    "message",
    [
        "Failed to connect to the host via ssh: @@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@",
        "Failed to connect to the host via ssh: Host key verification failed.",
        "Using a SSH password instead of a key is not possible because Host Key checking is enabled.",
    ],
)
def test_a_changed_host_key(message):
    assert isinstance(read_failure(message), KeyChanged)


def test_silence_and_refusal_are_told_apart():
    down = read_failure(
        "Failed to connect to the host via ssh: ssh: connect to host 10.0.0.1 port 22:\n Connection refused"
    )
    assert down == Silence(
        "Failed to connect to the host via ssh: ssh: connect to host 10.0.0.1 port 22: Connection refused"
    )
    denied = read_failure("admin@10.0.0.1: Permission denied (publickey).")
    assert isinstance(denied, Silence)
    assert denied.refused


def test_a_long_message_is_shown_by_its_end():
    found = read_failure("x" * 500 + " the reason")
    assert isinstance(found, Silence)
    assert len(found.reason) == 203
    assert found.reason.endswith("the reason")
