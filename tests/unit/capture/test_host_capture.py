# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module: what it returns, writes, and never shows."""

from __future__ import annotations

import json
import stat

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.capture import document
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.modules.host_capture import capture

DEST = "/var/lib/dualroot/stage/capture.json"


class Module:
    def __init__(self, check_mode=False, **params):
        self.params = {
            "dest": DEST,
            "extra_paths": [],
            "extra_paths_limit": 1 << 20,
            "login_user": "admin",
            "renderer": "networkd",
            **params,
        }
        self.check_mode = check_mode
        self._diff = True


@pytest.fixture
def gateway(host):
    return host("debian11-static")


def test_writes_the_whole_and_returns_the_rest(gateway):
    result = capture(Module(extra_paths=["/opt/gateway"]), gateway.runner, gateway.root)
    dest = gateway.root / DEST[1:]
    assert result["changed"]
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600
    assert stat.S_IMODE(dest.parent.stat().st_mode) == 0o700
    assert "CANARYadminhash" in dest.read_text()
    assert document.load(dest)["hostname"] == "gw01"
    assert "CANARY" not in json.dumps(result)
    assert result["diff"]["before"] == {}
    assert result["capture"]["redacted"]


def test_second_run_changes_nothing(gateway):
    capture(Module(), gateway.runner, gateway.root)
    second = capture(Module(), gateway.runner, gateway.root)
    assert not second["changed"]
    assert second["diff"]["before"] == second["diff"]["after"]
    (gateway.root / "etc/hostname").write_text("other\n")
    third = capture(Module(check_mode=True), gateway.runner, gateway.root)
    assert third["changed"] and third["diff"]["before"]["hostname"] == "gw01"
    assert "CANARY" not in json.dumps(third)
    assert document.load(gateway.root / DEST[1:])["hostname"] == "gw01"


def test_check_mode_writes_nothing(gateway):
    result = capture(Module(check_mode=True), gateway.runner, gateway.root)
    assert result["changed"]
    assert not (gateway.root / DEST[1:]).exists()


def test_without_dest_everything_is_a_finding(host):
    old = host("debian11-unsupported")
    result = capture(Module(dest=None, renderer=None), old.runner, old.root)
    assert not result["changed"]
    assert [one["id"] for one in result["findings"] if one["severity"] == "refuse"] == ["capture.network_unsupported"]


def test_with_dest_what_cannot_be_carried_over_is_a_fault(host):
    old = host("debian11-unsupported")
    with pytest.raises(Fault) as fault:
        capture(Module(), old.runner, old.root)
    assert fault.value.id == "capture.network_unsupported"
    assert "/etc/network/interfaces:8" in fault.value.record()["what"]
    assert not (old.root / DEST[1:]).exists()


def test_what_the_renderer_cannot_say_is_a_finding(host):
    cloud = host("debian11-dhcp")
    path = cloud.root / "etc/network/interfaces"
    path.write_text("auto ens3\niface ens3 inet dhcp\n  client 00:01:02\n")
    result = capture(Module(dest=None, renderer="ifupdown"), cloud.runner, cloud.root)
    assert "client identifier" in next(one["what"] for one in result["findings"] if one["severity"] == "refuse")


def test_without_the_rights_of_root(gateway, monkeypatch):
    def refuse(*_arguments):
        raise PermissionError(13, "Permission denied", "/etc/shadow")

    monkeypatch.setattr(document, "read", refuse)
    with pytest.raises(Fault) as fault:
        capture(Module(), gateway.runner, gateway.root)
    assert fault.value.id == "capture.not_root"
