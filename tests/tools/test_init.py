# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Single functions of the first process, run by a shell; nothing here starts the whole of it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

INIT = Path(__file__).resolve().parents[2] / "roles/bundle/files/init"


def function(name: str) -> str:
    """Return the text of a function; it must name nothing of this machine."""
    found = re.search(rf"^{name}\(\) \{{\n.*?^\}}\n", INIT.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    assert "/proc" not in found[0] and "/dev" not in found[0].replace("/dev/null", "")
    return found[0]


@pytest.mark.parametrize("at", ["never", "before", "last"])
def test_a_hang_ends_only_before_the_first_write(tmp_path: Path, at: str) -> None:
    """``sleep`` writes down what it was asked for; the first write happens during one of the two."""
    sysrq, past_return, asked = tmp_path / "sysrq", tmp_path / "past_return", tmp_path / "asked"
    script = f"""
set -u
arguments="dualroot.mode=convert dualroot.limit=4200" sysrq={sysrq} past_return={past_return}
say() {{ :; }}
sleep() {{
    echo "$1" >>{asked}
    case {at}$1 in before4200 | last5) : >{past_return} ;; esac
}}
{function("argument")}{function("limit_the_time")}
limit_the_time
wait
"""
    subprocess.run(["sh", "-c", script], check=True, timeout=30)
    assert asked.read_text().split() == (["4200"] if at == "before" else ["4200", "5"])
    assert sysrq.exists() == (at == "never")
    if at == "never":
        assert sysrq.read_text() == "b\n"


@pytest.mark.parametrize("there", ["", "status.json", "stays"])
def test_a_hang_before_the_program_of_a_resume_starts_the_lifeboat_again(tmp_path: Path, there: str) -> None:
    sysrq = tmp_path / "sysrq"
    if there:
        (tmp_path / there).touch()
    script = f"""
set -u
arguments="dualroot.resume=1" sysrq={sysrq} state={tmp_path}
say() {{ :; }}
sleep() {{ :; }}
{function("argument")}{function("limit_the_start")}
limit_the_start
wait
"""
    subprocess.run(["sh", "-c", script], check=True, timeout=30)
    assert sysrq.exists() == (not there)


@pytest.mark.parametrize(("no_way_out", "written"), [("0", b"V"), ("1", b"...")])
def test_a_machine_that_waits_for_a_person_is_not_restarted(tmp_path: Path, no_way_out: str, written: bytes) -> None:
    """A watchdog that cannot be disarmed is fed; a terminal stands for the device."""
    master, slave = os.openpty()
    (tmp_path / "nowayout").write_text(f"{no_way_out}\n")
    script = f"""
set -u
watchdog={os.ttyname(slave)} no_way_out={tmp_path}/nowayout turns=
sleep() {{ [ "$1" = 10 ] && turns=x$turns && [ "$turns" != xxx ]; }}
{function("disarm_watchdog")}
disarm_watchdog
wait
"""
    subprocess.run(["sh", "-c", script], check=True, timeout=30)
    assert os.read(master, 16) == written
    os.close(master)
    os.close(slave)


def test_udev_is_told_not_to_read_tables_anew_before_it_starts() -> None:
    """A write to the disk must not make its partitions vanish for a moment, or a step that opens one fails."""
    text = INIT.read_text()
    hidden = text.index(": >/run/udev/rules.d/60-block.rules")
    assert text.index("mkdir -p /run/udev/rules.d") < hidden < text.index("systemd-udevd --daemon")
