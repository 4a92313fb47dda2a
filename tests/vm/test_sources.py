# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts without a usable Python, and secrets that stay secret."""

from __future__ import annotations

import stat

import pytest

from tests.lab.credentials import Credentials

from .conftest import Host, StartHost, soak


@pytest.fixture(scope="module")
def converted(start_host: StartHost) -> tuple[Host, str, Credentials]:
    """A host with Python 2.7 only, migrated with everything shown that Ansible can show; its output."""
    host = start_host(image="debian11-py27")
    assert host.machine.ssh("python --version 2>&1; command -v python3 || echo none").split()[-1] == "none"
    outcome = host.play("migrate", verbosity=3, dualroot_consent=1)
    assert outcome.returncode == 0, outcome.output[-4000:]
    return host, outcome.output, host.machine.credentials


def test_a_host_with_python_2_is_converted(converted: tuple[Host, str, Credentials]) -> None:
    host, _output, _login = converted
    machine = host.machine
    assert "trixie" in machine.ssh("cat /etc/os-release")
    assert machine.ssh("hostname").strip() == "gw-0815"
    assert "10.0.2.15/24" in machine.ssh("ip -4 -br address show ens3")
    assert machine.login_by_password() == "admin"


def test_no_secret_in_output_or_report(converted: tuple[Host, str, Credentials]) -> None:
    host, output, login = converted
    canaries = login.canaries()
    assert len(canaries) > 10
    assert [canary for canary in canaries if canary in output] == []
    kept = [path for path in host.reports.rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        text = path.read_text(errors="replace")
        assert [canary for canary in canaries if canary in text] == [], path
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    console = host.machine.console()
    assert [canary for canary in canaries if canary in console] == []


def test_no_secret_in_files_that_everybody_can_read(converted: tuple[Host, str, Credentials]) -> None:
    host, _output, login = converted
    machine = host.machine
    # One search for all of them, in a file that only root can read, so that it does not find itself.
    canaries = "\n".join(login.canaries())
    machine.ssh(f"sudo sh -c 'umask 077; cat >/run/canaries' <<'END'\n{canaries}\nEND")
    search = "find / /boot/dispatch -xdev -type f -perm -004 -size -8192k -exec grep -lFf /run/canaries {} +"
    # A first find proves that the search finds.
    machine.ssh("sudo cp /run/canaries /var/tmp/bait; sudo chmod 644 /var/tmp/bait")
    assert machine.ssh(f"sudo {search} || true", timeout=900).split() == ["/var/tmp/bait"]


@soak
def test_a_host_without_any_python_is_rehearsed(start_host: StartHost) -> None:
    host = start_host(image="debian11-nopython")
    assert host.machine.ssh("command -v python python2 python3 || echo none").strip() == "none"
    outcome = host.play("rehearse")
    assert outcome.returncode == 0, outcome.output[-4000:]
    assert outcome.result(host.name)["outcome"] == "returned"
    assert outcome.result(host.name)["fault"] is None
