# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Playbooks on scripted hosts, and which tests run side by side: all but those that attach loop devices.

One of them runs a program in mounts of its own, which take along every mount that there is at that moment: a file
system that another test unmounts meanwhile lives on there, and its image is not what it should be. An XFS was found
unsound then, or could not be mounted a second time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import scripted_hosts

LOOP_DEVICES = ("test_free_space.py", "test_lifeboat_place.py", "test_root_overlay.py", "test_update.py")


@pytest.fixture(autouse=True)
def _take_turns(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let one test with loop devices run at a time, whichever worker it has.

    A lock and not a group of pytest-xdist, which puts the group into a name that pytest 9.2 does not let it change, and
    says nothing when the tests of a group run side by side.
    """
    if request.path.name not in LOOP_DEVICES:
        yield
        return
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "loop-devices.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of collections in which this one has scripted actions."""
    return scripted_hosts.lay_out(tmp_path_factory.mktemp("collections"))


@pytest.fixture
def play(request: pytest.FixtureRequest, collections: Path, tmp_path: Path) -> Any:
    """Return a function that runs a playbook; ``answers`` replace those of the test's module, ``USUAL``."""

    def run(name: str, *options: str, answers: dict[str, Any] | None = None, **variables: Any) -> scripted_hosts.Done:
        every = {**request.module.USUAL, **(answers or {})}
        return scripted_hosts.run(collections, tmp_path, name, *options, answers=every, **variables)

    return run
