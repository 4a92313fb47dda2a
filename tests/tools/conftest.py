# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Playbooks on scripted hosts, and which tests run side by side: all but those that attach loop devices.

A machine has one set of those, and a device is given back only when nobody has it open any more, while whoever looks
for a free one opens them all. So two at once get each other's devices late; an XFS was found unsound then that is
sound whenever they take turns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import scripted_hosts

LOOP_DEVICES = ("test_free_space.py", "test_lifeboat_place.py", "test_root_overlay.py", "test_update.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in LOOP_DEVICES:
            item.add_marker(pytest.mark.xdist_group("loop devices"))


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
