# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guard of a slot on trial, run by a real shell against a /proc made of plain files."""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import _trial_script, slot_state
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two import trial

CAPTURE = {
    "ssh": {"ports": [22]},
    "network": {
        "interfaces": [{"addresses": ["192.0.2.7/24"], "routes": [{"to": "0.0.0.0/0", "via": "192.0.2.1"}]}],
    },
}
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:{port} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 1
"""
TRIE = """\
Local:
  +-- 0.0.0.0/0 3 0 5
     |-- {address}
        /32 host LOCAL
"""
ARP = """\
IP address       HW type     Flags       HW address            Mask     Device
192.0.2.1        0x1         {flags}         52:54:00:00:00:01     *        eth0
"""


class Slot:
    """The files that the guard reads; ``run`` runs it, and tells whether it restarted the machine."""

    def __init__(self, folder):
        self.folder = folder
        self.dispatch, self.proc, self.bin = folder / "dispatch", folder / "proc", folder / "bin"
        for path in (self.dispatch, self.proc / "net", self.bin):
            path.mkdir(parents=True)
        state = slot_state.mark_trying(slot_state.initial(("a", "b")), "a", 2)
        (self.dispatch / "state").write_bytes(slot_state.serialize(state))
        (self.proc / "uptime").write_text("901.23 1000.00\n")
        (self.proc / "sysrq-trigger").touch()
        self.write(port="0016", state="0A", address="192.0.2.7", flags="0x2")
        self.command("systemctl", 'test "$1 $2 $3" = "is-active --quiet multi-user.target"')
        for name in ("ping", "mount", "mountpoint", "sync"):
            self.command(name, "exit 0")
        # Only the time that the record gets before the restart is waited for.
        self.command("sleep", 'test "$1" != 15 || exec /bin/sleep 1')

    def write(self, **values):
        values = {"port": "0016", "state": "0A", "address": "192.0.2.7", "flags": "0x2", **values}
        (self.proc / "net/tcp").write_text(TCP.format(**values))
        (self.proc / "net/fib_trie").write_text(TRIE.format(**values))
        (self.proc / "net/arp").write_text(ARP.format(**values))

    def command(self, name, body):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def run(self):
        guard = self.folder / "guard"
        guard.write_text(trial.guard_text({"trial_limit": 900, "slot": "a", "run_id": "run-1"}, CAPTURE))
        environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "DUALROOT_DISPATCH": str(self.dispatch),
            "DUALROOT_PROC": str(self.proc),
        }
        subprocess.run(["sh", str(guard)], env=environment, check=True, timeout=60)
        return (self.proc / "sysrq-trigger").read_text() == "b\n"

    @property
    def reason(self):
        logs = list(self.dispatch.glob("runs/run-1/trial.log"))
        return logs[0].read_text().partition("reason=")[2].strip() if logs else ""


@pytest.fixture(name="slot")
def _slot(tmp_path):
    return Slot(tmp_path)


def test_a_slot_that_can_be_reached_stays(slot):
    assert not slot.run()
    assert slot.reason == ""


def test_a_slot_that_is_marked_good_is_left_alone(slot):
    state = slot_state.mark_good(slot_state.initial(("a", "b")), "a")
    (slot.dispatch / "state").write_bytes(slot_state.serialize(state))
    slot.command("systemctl", "exit 3")
    assert not slot.run()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda slot: slot.command("systemctl", "exit 3"), "the system has not come up as a whole"),
        (lambda slot: slot.write(port="0050"), "no sshd listens"),
        (lambda slot: slot.write(state="01"), "no sshd listens"),
        (lambda slot: slot.write(address="192.0.2.70"), "the address 192.0.2.7 is missing"),
        (lambda slot: slot.write(flags="0x0"), "the gateway 192.0.2.1 does not answer"),
    ],
    ids=["not up", "sshd on another port", "sshd does not listen", "network dead", "gateway silent"],
)
def test_a_slot_that_nobody_can_reach_restarts(slot, change, reason):
    change(slot)
    assert slot.run()
    assert slot.reason == reason


def test_it_restarts_also_where_nothing_can_be_recorded(slot):
    slot.command("systemctl", "exit 3")
    slot.command("mount", "exit 32")
    assert slot.run()


def test_without_a_state_the_kernel_line_counts(slot):
    (slot.dispatch / "state").unlink()
    slot.write(port="0050")
    assert slot.run()


def test_both_scripts_are_sound(tmp_path):
    for name, text in (("guard", _trial_script.GUARD), ("early", "#!/bin/sh\n" + _trial_script.EARLY)):
        (tmp_path / name).write_text(text)
        subprocess.run(["shellcheck", str(tmp_path / name)], check=True)
