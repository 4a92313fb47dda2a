# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files in pieces: what is asked of the host's shell, and what is made of its answers."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.plugin_utils import sending as subject

DIGEST = "ab" * 32


class Shell:
    """Answers in turn, and keeps what it was asked and given."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, text, data):
        self.asked.append((text, data))
        answer = self.answers.pop(0) if self.answers else ""
        return answer if isinstance(answer, dict) else {"rc": 0, "stdout": answer, "stderr": ""}


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(subject, "PIECE", 4)
    path = tmp_path / "payload"
    path.write_bytes(b"0123456789")
    return str(path)


def make(source, size=10):
    return subject.Sending(source, "/var/lib/dualroot/stage/p.zst", DIGEST, size)


PART = f"/var/lib/dualroot/stage/p.zst.{DIGEST[:16]}.part"


def test_a_survey_tells_what_is_there(source):
    shell = Shell("noise\nDUALROOT 0 whole\nDUALROOT 1 part 4\r\n")
    found = subject.survey(shell, [make(source), make(source)])
    assert found == {0: None, 1: 4}
    assert len(shell.asked) == 1
    assert f"{DIGEST}  /var/lib/dualroot/stage/p.zst" in shell.asked[0][0]


def test_a_survey_that_is_refused(source):
    shell = Shell({"rc": 1, "stdout": "", "stderr": "sudo: a password is required"})
    with pytest.raises(Fault) as caught:
        subject.survey(shell, [make(source)])
    assert caught.value.id == "stage.transfer_failed"
    assert "a password is required" in caught.value.what


def test_all_pieces_then_the_check(source):
    shell, told = Shell("", "", "", "DUALROOT-WHOLE"), []
    subject.send(shell, make(source), 0, told.append)
    assert [data for _text, data in shell.asked] == [b"0123", b"4567", b"89", None]
    assert shell.asked[0][0] == f"umask 077; cat >{PART}"
    assert shell.asked[1][0] == f"umask 077; cat >>{PART}"
    assert "sha256sum -c" in shell.asked[3][0]
    assert told[-1] == "sent 10 B of 10 B of p.zst"


def test_it_goes_on_where_it_broke_off(source):
    shell = Shell("", "DUALROOT-WHOLE")
    subject.send(shell, make(source), 8, lambda text: None)
    assert shell.asked[0] == (f"umask 077; cat >>{PART}", b"89")


def test_a_whole_part_is_only_checked(source):
    shell = Shell("DUALROOT-WHOLE")
    subject.send(shell, make(source), 10, lambda text: None)
    assert len(shell.asked) == 1


def test_a_part_that_is_too_long_is_begun_anew(source):
    shell = Shell("", "", "", "DUALROOT-WHOLE")
    subject.send(shell, make(source), 11, lambda text: None)
    assert shell.asked[0] == (f"umask 077; cat >{PART}", b"0123")


def test_an_empty_file_never_waits_for_a_terminal(tmp_path):
    path = tmp_path / "empty"
    path.write_bytes(b"")
    shell = Shell("", "DUALROOT-WHOLE")
    subject.send(shell, make(str(path), 0), 0, lambda text: None)
    assert shell.asked[0] == (f"umask 077; : >{PART}", None)


def test_a_wrong_digest(source):
    shell = Shell("", "", "", "DUALROOT-DIFFERS")
    with pytest.raises(Fault) as caught:
        subject.send(shell, make(source), 0, lambda text: None)
    assert "SHA-256" in caught.value.what


def test_a_full_file_system(source):
    shell = Shell({"rc": 1, "stdout": "", "stderr": "cat: write error: No space left on device"})
    with pytest.raises(Fault) as caught:
        subject.send(shell, make(source), 0, lambda text: None)
    assert "No space left" in caught.value.what


DF = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/x 100 90 {} 90% /\n"


def test_what_does_not_fit_is_not_begun(source):
    shell = Shell(DF.format(1))
    with pytest.raises(Fault) as caught:
        subject.check_room(shell, [make(source, 2000), make(source, 500)], {0: 500, 1: None}, 0)
    assert caught.value.id == "stage.transfer_failed"
    assert "1 KiB are free in /var/lib/dualroot/stage, and 1.5 KiB are needed" in caught.value.what
    assert shell.asked == [("df -Pk /var/lib/dualroot/stage", None)]


@pytest.mark.parametrize(("answer", "reserve"), [(DF.format(2), 0), ("", 1 << 40), ("df: not found", 1 << 40)])
def test_what_fits_or_cannot_be_told_is_sent(source, answer, reserve):
    subject.check_room(Shell(answer), [make(source, 2000)], {0: 0}, reserve)


def test_a_reserve_stays_free(source):
    with pytest.raises(Fault):
        subject.check_room(Shell(DF.format(2)), [make(source, 2000)], {0: 0}, 100)


def test_whole_files_ask_for_nothing(source):
    shell = Shell()
    subject.check_room(shell, [make(source)], {0: None}, 1 << 40)
    assert shell.asked == []
