# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole runs on real virtual machines; each keeps its serial log, which is shown when a test fails."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bundles import Bundle, build_bundle
from tests.lab.converted import PREFIX, convert
from tests.lab.hardware import Options
from tests.lab.landmarks import landmarks
from tests.lab.machine import Machine, end_on_signal, running
from tests.lab.playbook import Outcome, run_playbook

#: How many characters of a serial log a failed test shows.
SHOWN_CONSOLE = 3000

#: Whole migrations that the long matrices run (`make soak`), and `make test` leaves out.
soak = pytest.mark.skipif(not os.environ.get("DUALROOT_SOAK"), reason="only with DUALROOT_SOAK=1: it takes long")

_machines = pytest.StashKey[list[Machine]]()


def pytest_configure() -> None:
    end_on_signal()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for machine in item.config.stash.get(_machines, []):
            console = machine.console()
            report.sections.append((f"landmarks of {machine.serial_log}", landmarks(console)))
            report.sections.append((f"end of {machine.serial_log}", console[-SHOWN_CONSOLE:].replace("\r", "")))
    return report


def remember(config: pytest.Config, machine: Machine) -> None:
    """Let a failed test show the end of this machine's serial log."""
    config.stash.setdefault(_machines, []).append(machine)


class Host:
    """A running source host with its inventory, its reports, and the way to run playbooks on it."""

    def __init__(self, machine: Machine, bundle: Bundle, reports: Path) -> None:
        self.machine = machine
        self.bundle = bundle
        self.reports = reports

    @property
    def name(self) -> str:
        return self.machine.name

    def play(
        self, playbook: str, *, verbosity: int = 0, options: Sequence[str] = (), started: Any = None, **variables: Any
    ) -> Outcome:
        """Run a playbook on this host alone; ``variables`` come on top of the bundle's own."""
        return run_playbook(
            playbook,
            {**self.bundle.variables(), **variables},
            self.reports,
            inventory=self.machine.inventory,
            verbosity=verbosity,
            options=options,
            started=started,
        )

    def boot_id(self) -> str:
        return self.machine.ssh("cat /proc/sys/kernel/random/boot_id").strip()


StartHost = Callable[..., Host]


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The bundle of layout ``va`` with Debian 13, from the cache where nothing has changed."""
    return build_bundle("debian13-va")


@pytest.fixture(scope="module")
def start_host(
    bundle: Bundle, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[StartHost]:
    """Start hosts by their options; they live until the tests of the file are done, and no longer.

    ``image`` may be ``converted-debian13-va`` as well: a host that is migrated already.
    """
    machines = pytestconfig.stash.setdefault(_machines, [])
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> Host:
            folder = tmp_path_factory.mktemp("host")
            chosen = Options(**{"image": "debian11", **options})
            image = convert(chosen.image.removeprefix(PREFIX)) if chosen.image.startswith(PREFIX) else None
            machine = stack.enter_context(running(folder / "gw-0815", chosen, image))
            machines.append(machine)
            return Host(machine, bundle, folder / "reports")

        yield start
    machines.clear()
