# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The GRUB of the old system, as far as staging and arming need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..disk import sysfs
from ..faults import boot as kinds
from ..faults.fault import Fault
from ..probe.bootloader import read_bootloader
from ..runner import Runner


@dataclass(frozen=True)
class HostLoader:
    """GRUB's directory and programs; programs are empty where the host has none.

    ``environment_doubt`` says why GRUB may be unable to write its environment, empty if nothing
    speaks against it.
    """

    directory: Path
    reboot_tool: str
    editenv_tool: str
    grubby: str
    reads_custom_config: bool
    handles_next_entry: bool
    environment_doubt: str

    @property
    def config(self) -> Path:
        return self.directory / "grub.cfg"

    @property
    def environment(self) -> Path:
        return self.directory / "grubenv"

    @property
    def custom_config(self) -> Path:
        return self.directory / "custom.cfg"


def detect(runner: Runner, root: Path = sysfs.ROOT) -> HostLoader:
    """Find the GRUB 2 of this host; raises ``Fault`` ``boot.no_loader``."""
    return from_facts(read_bootloader(runner, root))


def from_facts(facts: Mapping[str, Any]) -> HostLoader:
    """Return the loader that the facts of a host tell of (their part ``bootloader``)."""
    if facts["kind"] != "grub2":
        raise Fault(kinds.NO_LOADER, problem=f"the boot loader is {facts['kind']}")
    return HostLoader(
        directory=Path(facts["directory"]),
        reboot_tool=facts["reboot_tool"] or "",
        editenv_tool=facts["editenv_tool"] or "",
        grubby=facts["grubby"] or "",
        reads_custom_config=facts["reads_custom_cfg"],
        handles_next_entry=facts["handles_next_entry"],
        environment_doubt=facts["environment_doubt"],
    )


def read_environment(runner: Runner, loader: HostLoader) -> dict[str, str]:
    """Return the variables of GRUB's environment, as GRUB's own program lists them."""
    if not loader.environment.is_file() or not loader.editenv_tool:
        return {}
    listed = runner.run([loader.editenv_tool, str(loader.environment), "list"]).text
    pairs = (line.partition("=") for line in listed.splitlines())
    return {name: value for name, equals, value in pairs if equals}
