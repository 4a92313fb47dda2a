# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a machine of the crash matrix counts as stopped: not because the computer is busy."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.crash import recorder

SPEAKS_ONCE = [sys.executable, "-c", "import time; print('dualroot: loading', flush=True); time.sleep(60)"]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "STUCK_SECONDS", 1.0)


def test_a_machine_that_says_nothing_has_stopped() -> None:
    run = recorder.watch(SPEAKS_ONCE, 30)
    assert (run.end, run.seconds < 10) == ("silent", True)
    assert "dualroot: loading" in run.text


def test_time_without_a_processor_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept waiting all the time, as it seems: only the limit of the whole run ends it."""
    waited: Iterator[int] = itertools.count(0, 1000)
    monkeypatch.setattr(recorder, "kept_waiting", lambda _process: float(next(waited)))
    run = recorder.watch(SPEAKS_ONCE, 4)
    assert (run.end, run.seconds > 4) == ("silent", True)


def test_the_kernel_s_count_is_read() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"]) as process:
        try:
            assert 0 <= recorder.kept_waiting(process.pid) < 30
        finally:
            process.kill()
    assert recorder.kept_waiting(process.pid) == 0


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="the kernel does not count it")
def test_it_grows_where_processes_share_a_processor() -> None:
    processor = {min(os.sched_getaffinity(0))}
    spin = [sys.executable, "-c", f"import os\nos.sched_setaffinity(0, {processor})\nwhile True: pass"]
    with subprocess.Popen(spin) as one, subprocess.Popen(spin) as other:
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                one.wait(1.5)
            assert recorder.kept_waiting(one.pid) > 0.2
        finally:
            one.kill()
            other.kill()
