# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""With the old system kept, a new one that does not come up, in every way, ends in the old system by itself."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import pytest
from ansible_collections.dualroot.migrate.plugins.plugin_utils import trial_reason

from tests.support import matrix

from .conftest import StartHost, soak
from .sealed import BREAKS, FALL_SECONDS, Sealed, seal, start_broken
from .test_keep_old import data_hash

#: What the old system is told of each way to fail, wherever it was noticed: one of these words.
REASONS = {
    "sshd dead": ("sshd",),
    "kernel panic": ("panic",),
    "hang": ("has not come up", "hang"),
    "network dead": ("address",),
    "initramfs without root": ("no root",),
    "initramfs hangs": ("no root",),
}


@dataclass(frozen=True)
class Kept:
    """A host on trial whose old system is kept; ``data`` is the hash of what that one held before."""

    sealed: Sealed
    data: str

    def told(self) -> str:
        """Return the reason as the controller would read it in the old system."""
        assert self.sealed.plan["keep_old"]
        command = trial_reason.command(self.sealed.plan)
        return trial_reason.read(self.sealed.host.machine.ssh(f"sudo sh -c {shlex.quote(command)}"), "a")


@pytest.fixture(scope="module")
def kept(start_host: StartHost) -> Kept:
    host = start_host()
    data = data_hash(host)
    return Kept(seal(host, keep_old="required"), data)


@soak
@pytest.mark.parametrize("name", list(BREAKS))
def test_it_ends_in_the_old_system(kept: Kept, name: str) -> None:
    broken, machine = BREAKS[name], kept.sealed.host.machine
    since = start_broken(kept.sealed, broken.apply, tries=1)
    machine.wait_for_console("dualroot: boot old system", FALL_SECONDS, since)
    console = machine.console()[since:]
    assert console.count("dualroot: boot slot=a") == 1
    assert broken.proof in console, console[-3000:]
    machine.wait_for_ssh(FALL_SECONDS)
    assert "dualroot.mode=old" in machine.ssh("cat /proc/cmdline")
    assert machine.ssh("cat /etc/debian_version").strip() == "11.11"
    assert data_hash(kept.sealed.host) == kept.data
    reason = kept.told()
    assert any(word in reason for word in REASONS[name]), reason
    matrix.record(f"first boot, old system kept: {name}", "OLD", f"console: {broken.proof}", "virtual machine")
