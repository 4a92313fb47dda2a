# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes the volume groups, volumes and file systems of a layout; running it again is harmless."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..disk import sysfs
from ..layout.model import ResolvedLayout
from ..runner import Runner
from . import lvm
from .steps import Step, Target, plan, target

#: Told the text of each step before it is done.
OnStep = Callable[[str], None]

_SETTLE = ("udevadm", "settle", "--timeout=30")


def ensure(
    runner: Runner,
    node: str,
    resolved: ResolvedLayout,
    upto: str,
    *,
    replace: bool = False,
    on_step: OnStep | None = None,
    root: Path = sysfs.ROOT,
) -> list[Step]:
    """Make what of the layout is due ``upto`` a moment on the disk at ``node``; returns what was done.

    Only creates and grows. With ``replace``, foreign content of the planned devices is overwritten
    (stage two, before ``restore``). Raises ``Fault`` ``volumes.*`` before anything is changed.
    """
    return make(runner, target(resolved, node, upto), replace=replace, on_step=on_step, root=root)


def make(
    runner: Runner,
    wanted: Target,
    *,
    replace: bool = False,
    on_step: OnStep | None = None,
    root: Path = sysfs.ROOT,
) -> list[Step]:
    """Make these groups and file systems, as ``ensure`` does for a whole layout."""
    _activate(runner, [group.name for group in wanted.groups])
    return run_steps(runner, plan(runner, wanted, replace=replace, root=root), on_step=on_step)


def _activate(runner: Runner, names: Sequence[str]) -> None:
    """Activate what of these groups is there: what lies on a volume can be looked at only then.

    After a restart in the middle nobody else may have done it.
    """
    asleep = {one.group for one in lvm.logical_volumes(runner) if not one.active}
    for name in names:
        if name in asleep:
            runner.run(lvm.activate(name))
            runner.run(list(_SETTLE), accept=(0, 1))


def run_steps(runner: Runner, steps: Sequence[Step], *, on_step: OnStep | None = None) -> list[Step]:
    """Run planned steps in order; a failing command raises ``CommandFailed``."""
    for step in steps:
        if on_step is not None:
            on_step(step.text)
        for argv in step.commands:
            runner.run(list(argv))
        # The next step may need a node that udev makes, /dev/GROUP/VOLUME for example.
        runner.run(list(_SETTLE), accept=(0, 1))
    return list(steps)
