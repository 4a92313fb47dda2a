# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is written into a slot for its trial; the guard's behaviour is in ``tests/tools/test_trial_guard.py``."""

from __future__ import annotations

import re

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import trial

CAPTURE = {
    "ssh": {"ports": [22, 2222]},
    "network": {
        "interfaces": [
            {
                "addresses": ["192.0.2.7/24", "2001:db8::7/64"],
                "routes": [{"to": "0.0.0.0/0", "via": "192.0.2.1"}, {"to": "198.51.100.0/24", "via": "192.0.2.9"}],
            }
        ]
    },
}


def plan(limit=900):
    return {"trial_limit": limit, "slot": "a", "run_id": "run-1"}


@pytest.fixture(name="folders")
def _folders(tmp_path):
    root, dispatch = tmp_path / "new", tmp_path / "new/boot/dispatch"
    dispatch.mkdir(parents=True)
    return root, dispatch


def test_guard_unit_and_archive(folders):
    root, dispatch = folders
    for _time in range(2):
        trial.write(root, dispatch, plan(), CAPTURE)
    assert (root / trial.GUARD_PATH).stat().st_mode & 0o777 == 0o755
    link = root / "etc/systemd/system/sysinit.target.wants/dualroot-trial.service"
    unit = link.resolve().read_text()
    assert link.is_symlink() and "ExecStart=/bin/sh /usr/lib/dualroot/trial-guard\n" in unit
    # Else emergency mode, where it is needed most, would stop it.
    assert "IgnoreOnIsolate=yes" in unit and "DefaultDependencies=no" in unit
    archive = (dispatch / "trial.cpio").read_bytes()
    assert b"conf/conf.d/dualroot-trial\0" in archive and b"sleep 300\n" in archive
    # The same for an initramfs with systemd, for everybody to read: the folders are those of the initramfs.
    assert b"etc/systemd/system/dualroot-early.service\0" in archive and b"-c 'sleep 300; test -e " in archive
    assert b"Wants=dualroot-early.service\n" in archive and b"000041C0" not in archive


def test_what_the_guard_looks_for():
    text = trial.guard_text(plan(120), CAPTURE)
    for line in ("limit=120", "slot=a", "ports='0016 08AE'", "addresses='192.0.2.7'", "gateways='192.0.2.1'"):
        assert f"\n{line}\n" in text
    assert not re.search("@[A-Z0-9]+@", text)


def test_a_host_with_leases_has_no_address_to_look_for():
    text = trial.guard_text(plan(), {"network": {"interfaces": [{"dhcp4": True}]}})
    assert "\naddresses=''\n" in text and "\ngateways=''\n" in text and "\nports='0016'\n" in text


MAC = "52:54:00:00:00:07"


@pytest.mark.parametrize(
    ("interface", "seen", "leases"),
    [
        ({"mac": MAC}, {"leased": ["192.0.2.7/24"]}, f"={MAC}"),
        ({"mac": MAC}, {"addresses": ["192.0.2.7/24"]}, f"={MAC}"),
        ({"mac": MAC, "cloned_mac": "02:00:00:00:00:01"}, {"leased": ["192.0.2.7/24"]}, "=02:00:00:00:00:01"),
        # No cable, or what came in spite of it.
        ({"mac": MAC}, {"leased": []}, ""),
        ({"mac": MAC}, {"leased": ["169.254.3.4/16", "2001:db8::7/64"]}, ""),
        # Not known: believed, as long as there is nothing else to look for.
        ({"mac": MAC}, None, f"={MAC}"),
        ({"mac": MAC, "kind": "bond", "name": "bond0"}, None, f"bond0={MAC}"),
        ({"kind": "bridge", "name": "br0"}, None, "br0="),
    ],
)
def test_which_interfaces_must_have_a_lease(interface, seen, leases):
    network = {"interfaces": [{"dhcp4": True, **interface}], "runtime": {} if seen is None else {MAC: seen}}
    assert f"\nleases='{leases}'\nleases6=''\n" in trial.guard_text(plan(), {"network": network})


def test_leases_beside_a_static_address():
    interfaces = [{"addresses": ["192.0.2.7/24"]}, {"dhcp4": True, "mac": MAC}]
    network = {"interfaces": interfaces, "runtime": {}}
    assert "\nleases=''\n" in trial.guard_text(plan(), {"network": network})
    network["runtime"][MAC] = {"leased": ["198.51.100.7/24"]}
    assert f"\nleases='={MAC}'\n" in trial.guard_text(plan(), {"network": network})


def test_a_lease_of_ipv6_alone():
    network = {
        "interfaces": [{"dhcp4": True, "dhcp6": True, "mac": MAC}],
        "runtime": {MAC: {"leased": ["2001:db8::7/128"]}},
    }
    assert f"\nleases=''\nleases6='={MAC}'\n" in trial.guard_text(plan(), {"network": network})


def test_a_short_limit_holds_for_the_initramfs_too(folders):
    root, dispatch = folders
    trial.write(root, dispatch, plan(60), CAPTURE)
    assert b"sleep 60\n" in (dispatch / "trial.cpio").read_bytes()


def test_no_limit_no_guard(folders):
    root, dispatch = folders
    trial.write(root, dispatch, plan(), CAPTURE)
    trial.write(root, dispatch, plan(0), CAPTURE)
    assert not (dispatch / "trial.cpio").exists()
    assert not list(root.rglob("dualroot-trial.service"))
