# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guard of a slot on trial, run by a real shell against a /proc made of plain files."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import _trial_script, slot_state, trial

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


MAC = "52:54:00:00:00:07"
#: A host whose one card has its address by DHCP.
LEASED = {"network": {"interfaces": [{"dhcp4": True, "mac": MAC}], "runtime": {MAC: {"leased": ["192.0.2.7/24"]}}}}
ROUTES = "Iface\tDestination\tGateway \tFlags\n"
DEAD = "network dead: nobody logged in"
#: A systemd whose units are all as they should be.
SYSTEMD = 'case "$*" in "is-active --quiet "*) exit 0 ;; *) exit 3 ;; esac'


JOBS = """case "$1" in
list-jobs) echo "8   db.service      start running"; echo "113 multi-user.target start waiting" ;;
*) exit 3 ;;
esac"""
OPERATORS_UNIT = """case "$*" in
"is-active --quiet multi-user.target") exit 0 ;;
"show -p Requires --value boot-complete.target") echo dualroot-health.service mine.service ;;
"is-active mine.service") echo failed ;;
*) exit 3 ;;
esac"""
WANTED_HANG = OPERATORS_UNIT.replace("service mine.service", "service mine.mount").replace(
    '"is-active mine.service") echo failed',
    '"is-active dualroot-health.service") echo activating ;;\n"is-active mine.mount") echo active',
)
HEALTH_RUNS = OPERATORS_UNIT.replace("echo failed", "echo activating")


class Slot:
    """The files that the guard reads; ``run`` runs it, and tells whether it restarted the machine."""

    def __init__(self, folder):
        self.folder = folder
        self.dispatch, self.proc, self.bin = folder / "dispatch", folder / "proc", folder / "bin"
        self.state = folder / "state"
        self.capture = CAPTURE
        for path in (self.dispatch, self.proc / "net", self.bin, self.state):
            path.mkdir(parents=True)
        for name, mac in (("eth0", MAC), ("docker0", "02:42:00:00:00:01")):
            card = folder / "sys/class/net" / name
            card.mkdir(parents=True)
            (card / "address").write_text(f"{mac}\n")
        self.command("dualroot-slot", f'echo "$*" >{folder}/again')
        state = slot_state.mark_trying(slot_state.initial(("a", "b")), "a", 2)
        (self.dispatch / "state").write_bytes(slot_state.serialize(state))
        (self.proc / "uptime").write_text("901.23 1000.00\n")
        (self.proc / "sysrq-trigger").touch()
        self.write(port="0016", state="0A", address="192.0.2.7", flags="0x2")
        self.command("systemctl", SYSTEMD)
        for name in ("ping", "mount", "mountpoint", "sync"):
            self.command(name, "exit 0")
        # What listens on the machine that runs the tests is none of the slot's.
        self.command("bash", 'case "$2" in */dev/tcp/*) echo SSH- ;; esac')
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

    def run(self, *words):
        guard = self.folder / "guard"
        guard.write_text(trial.guard_text({"trial_limit": 900, "slot": "a", "run_id": "run-1"}, self.capture))
        environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "DUALROOT_DISPATCH": str(self.dispatch),
            "DUALROOT_PROC": str(self.proc),
            "DUALROOT_RUN": str(self.state),
            "DUALROOT_SYS": str(self.folder / "sys"),
            "DUALROOT_SLOT_COMMAND": str(self.bin / "dualroot-slot"),
        }
        subprocess.run(["sh", str(guard), *words], env=environment, check=True, timeout=60)
        return (self.proc / "sysrq-trigger").read_text() == "b\n"

    def mark(self, name, state):
        (self.dispatch / name).write_bytes(slot_state.serialize(state))

    @property
    def again(self):
        """What dualroot-slot was called with at the end."""
        path = self.folder / "again"
        return path.read_text().strip() if path.exists() else ""

    @property
    def reason(self):
        logs = list(self.dispatch.glob("runs/run-1/trial.log"))
        return logs[0].read_text().partition("reason=")[2].strip() if logs else ""


@pytest.fixture(name="slot")
def _slot(tmp_path):
    return Slot(tmp_path)


def test_a_slot_that_can_be_reached_stays_and_gets_its_tries_back(slot):
    assert not slot.run()
    assert (slot.reason, slot.again) == ("", "again a")


def test_a_slot_stays_also_where_its_tries_cannot_be_given_back(slot):
    slot.command("dualroot-slot", "exit 1")
    assert not slot.run()


def test_a_slot_that_is_marked_good_is_left_alone(slot):
    state = slot_state.mark_good(slot_state.initial(("a", "b")), "a")
    (slot.dispatch / "state").write_bytes(slot_state.serialize(state))
    slot.command("systemctl", "exit 3")
    assert not slot.run()
    assert slot.again == ""


TRYING = slot_state.mark_trying(slot_state.initial(("a", "b")), "a", 2)
GOOD = slot_state.mark_good(TRYING, "a")


@pytest.mark.parametrize(
    ("state", "copy", "restarts"),
    [
        (replace(GOOD, generation=9), replace(TRYING, generation=8), False),
        (replace(GOOD, generation=8), replace(TRYING, generation=10), True),
        (replace(TRYING, generation=9), replace(GOOD, generation=10), False),
        (b"\0" * 1024, TRYING, True),
        (b"\0" * 1024, GOOD, False),
        (TRYING, b"", True),
        (b"", None, True),
    ],
    ids=["state is newer", "copy is newer", "copy is newer and good"]
    + ["state is damaged", "state is damaged, copy good", "copy is damaged", "nothing can be read"],
)
def test_the_newer_copy_of_the_state_counts(slot, state, copy, restarts):
    for name, content in (("state", state), ("state.copy", copy)):
        if isinstance(content, slot_state.SlotState):
            slot.mark(name, content)
        elif content is not None:
            (slot.dispatch / name).write_bytes(content)
    slot.command("systemctl", "exit 3")
    assert slot.run() is restarts


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda slot: slot.command("systemctl", "exit 3"), "the system has not come up as a whole"),
        (
            lambda slot: slot.command("systemctl", JOBS),
            "the system has not come up as a whole, it waits for db.service",
        ),
        (
            lambda slot: slot.command("systemctl", OPERATORS_UNIT),
            "boot-complete.target needs mine.service, which failed",
        ),
        (lambda slot: slot.command("systemctl", HEALTH_RUNS), "the health checks did not end"),
        (lambda slot: slot.write(port="0050"), "no sshd listens"),
        (lambda slot: slot.command("bash", "exit 1"), "sshd does not answer"),
        (lambda slot: slot.write(state="01"), "no sshd listens"),
        (lambda slot: slot.write(address="192.0.2.70"), "network dead: the address 192.0.2.7 is missing"),
        (lambda slot: slot.write(flags="0x0"), f"{DEAD}, and the gateway 192.0.2.1 does not answer"),
    ],
    ids=[
        *("not up", "a job waits", "an operator's unit", "checks run", "sshd on another port", "sshd broken"),
        *("sshd does not listen", "network dead", "gateway silent"),
    ],
)
def test_a_slot_that_nobody_can_reach_restarts(slot, change, reason):
    change(slot)
    if "checks" in reason:
        (slot.proc / "uptime").write_text("1801.00 1.00\n")
    assert slot.run()
    assert (slot.reason, slot.again) == (reason, "")


def test_checks_that_still_run_get_as_much_time_again(slot):
    slot.command("systemctl", HEALTH_RUNS)
    # The first look is at 901 s; what is asked next has ended.
    slot.command(
        "sleep",
        f"rm {slot.bin}/systemctl; ln -s {slot.bin}/done {slot.bin}/systemctl; echo 1801.00 1.00 >{slot.proc}/uptime",
    )
    slot.command("done", SYSTEMD)
    assert not slot.run()
    assert slot.again == "again a"


def test_wanted_checks_that_hang_decide_nothing(slot):
    (slot.proc / "uptime").write_text("1801.00 1.00\n")
    slot.command("systemctl", WANTED_HANG)
    (slot.state / "health-decided").touch()
    assert not slot.run()
    (slot.state / "health-decided").unlink()
    assert slot.run()
    assert slot.reason == "the health checks did not end"


def test_a_required_check_that_failed_ends_the_try_at_once(slot):
    (slot.proc / "uptime").write_text("61.00 1.00\n")
    (slot.state / "health-failed").write_text("required check 'mine' ended with status 1\n")
    assert slot.run()
    assert slot.reason == "required check 'mine' ended with status 1"


def test_somebody_from_outside_proves_the_network(slot):
    (slot.proc / "uptime").write_text("60.00 1.00\n")
    slot.write(flags="0x0")
    connection = "   1: 070200C0:0016 630200C0:C350 01 00000000:00000000 00:00000000 00000000     0        0 2\n"
    loopback = connection.replace("630200C0", "0100007F")
    tcp = slot.proc / "net/tcp"
    # The first look is before the limit, then the time is up.
    late = f"echo 901.00 1.00 >{slot.proc}/uptime"
    slot.command("sleep", f'case "$1" in 5) {late} ;; 15) exec /bin/sleep 1 ;; esac')
    before = tcp.read_text()
    tcp.write_text(before + connection)
    assert not slot.run()
    (slot.proc / "uptime").write_text("60.00 1.00\n")
    tcp.write_text(before + loopback)
    assert slot.run()
    assert slot.reason.startswith(DEAD)


def test_the_start_of_a_try_is_noted(slot):
    (slot.proc / "uptime").write_text("60.00 1.00\n")
    slot.command("sleep", f"echo 901.00 1.00 >{slot.proc}/uptime; exec /bin/sleep 0.5")
    assert not slot.run()
    assert (slot.dispatch / "runs/run-1/trial.log").read_text().endswith("slot=a left=2 started\n")


@pytest.mark.parametrize(("known", "flags"), [(True, "0x2"), (False, "0x0")])
def test_a_leased_gateway_is_asked(slot, known, flags):
    slot.capture = LEASED
    slot.write(flags=flags)
    (slot.proc / "net/route").write_text(f"{ROUTES}eth0\t00000000\t010200C0\t0003\t0\t0\n")
    assert slot.run() is not known
    assert slot.reason == ("" if known else f"{DEAD}, and the gateway 192.0.2.1 does not answer")


@pytest.mark.parametrize(
    ("routes", "reached"),
    [
        ("", False),
        ("docker0\t000011AC\t00000000\t0001\n", False),
        # What an interface takes by itself where no server answers.
        ("eth0\t0000FEA9\t00000000\t0001\n", False),
        ("eth0\t000200C0\t00000000\t0001\n", True),
    ],
    ids=["none", "another interface's", "link-local", "leased"],
)
def test_a_lease_is_missed(slot, routes, reached):
    slot.capture = LEASED
    (slot.proc / "net/route").write_text(ROUTES + routes)
    assert slot.run() is not reached
    assert slot.reason == ("" if reached else "network dead: no address was leased")


@pytest.mark.parametrize(
    ("line", "reached"),
    [
        ("20010db8000000000000000000000007 02 80 00 00     eth0\n", True),
        ("20010db8000000000000000000000007 02 80 00 88     eth0\n", False),
        ("20010db8000000000000000000000007 03 80 00 00  docker0\n", False),
        ("fe800000000000005054fffe00000007 02 40 20 80     eth0\n", False),
        ("", False),
    ],
    ids=["leased", "somebody else has it", "another interface's", "link-local", "none"],
)
def test_a_lease_of_ipv6_is_missed(slot, line, reached):
    runtime = {MAC: {"leased": ["2001:db8::7/128"]}}
    slot.capture = {"network": {"interfaces": [{"dhcp6": True, "mac": MAC}], "runtime": runtime}}
    (slot.proc / "net/if_inet6").write_text(line)
    assert slot.run() is not reached
    assert slot.reason == ("" if reached else "network dead: no address was leased")


@pytest.mark.parametrize(("flags", "there"), [("80", True), ("88", False)])
def test_an_address_of_ipv6(slot, flags, there):
    slot.capture = {"network": {"interfaces": [{"addresses": ["2001:db8::7/64"]}]}}
    (slot.proc / "net/if_inet6").write_text(f"20010db8000000000000000000000007 02 40 00 {flags}     eth0\n")
    assert slot.run() is not there
    assert slot.reason == ("" if there else "network dead: the address 2001:db8::7 is missing")


def test_one_of_two_gateways_is_enough(slot):
    routes = [{"to": "0.0.0.0/0", "via": "192.0.2.254"}, {"to": "0.0.0.0/0", "via": "192.0.2.1"}]
    slot.capture = {"network": {"interfaces": [{"addresses": ["192.0.2.7/24"], "routes": routes}]}}
    assert not slot.run()


def test_a_restart_in_order_is_told_from_others(slot):
    assert not slot.run("stopped")
    assert slot.reason == "it was restarted in order, by a person or a program"


def test_a_try_ends_once(slot):
    slot.write(port="0050")
    assert slot.run()
    slot.run("stopped")
    assert slot.reason == "no sshd listens"


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
