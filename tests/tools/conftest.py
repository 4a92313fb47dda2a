# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tests run side by side: all but those that attach loop devices, which a machine has one set of.

A loop device is given back only when nobody has it open any more, and whoever looks for a free one opens them all. So
two at once get each other's devices late; an XFS was found unsound then that is sound whenever they take turns.
"""

from __future__ import annotations

import pytest

LOOP_DEVICES = ("test_free_space.py", "test_lifeboat_place.py", "test_root_overlay.py", "test_update.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in LOOP_DEVICES:
            item.add_marker(pytest.mark.xdist_group("loop devices"))
