# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from tests.lab.landmarks import landmarks

CONSOLE = (
    "SeaBIOS (version 1.16)\r\n"
    "[    0.000000] Linux version 6.12.0\r\n"
    "[    1.000000] pci 0000:00:01.0: nothing to see\r\n"
    "[    2.000000] \x1b[0;1;31mKernel panic - not syncing\x1b[0m: " + "x" * 300 + "\r\n"
    "[    3.000000] reboot: Restarting system\r\n"
)


def test_starts_and_what_went_wrong_are_shown_with_their_lines() -> None:
    shown = landmarks(CONSOLE).split("\n")
    assert [line.split(":")[0] for line in shown] == ["1", "2", "4", "5"]
    assert shown[2].startswith("4: [    2.000000] Kernel panic - not syncing: xxx")
    assert len(shown[2]) == len("4: ") + 160


def test_the_last_ones_are_kept() -> None:
    assert landmarks(CONSOLE, most=1) == "5: [    3.000000] reboot: Restarting system"
