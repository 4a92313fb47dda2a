# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python3 -m dualroot.stage_two.main``, started by the first process of the convert environment."""

from __future__ import annotations

import sys
from functools import partial

from ..runner import CommandRunner
from .machine import Machine, restart
from .parts import Parts
from .program import main

if __name__ == "__main__":
    runner = CommandRunner()
    sys.exit(main(Machine(runner, reboot=partial(restart, runner)), Parts()))
