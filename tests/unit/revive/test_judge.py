# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May a host be restored: every finding, and the plan."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document
from ansible_collections.dualroot.migrate.plugins.module_utils.revive import saved
from ansible_collections.dualroot.migrate.plugins.module_utils.revive.judge import Present, judge
from ansible_collections.dualroot.migrate.plugins.module_utils.revive.options import load

from tests.support.layouts import resolved

from .evidence import DISK_BYTES, UUID, disk, lay, partition

MIB = 1 << 20
FILE = {"file": "f", "sha256": "a" * 64, "size": 10 * MIB}
MANIFEST = {
    "name": "gateway",
    "version": 2,
    "environment": {"kernel": {**FILE, "more": 1}, "initrd": FILE, "unpacked_bytes": 100 * MIB},
}
OPTIONS = {"run_id": "r2", "host": "gw1", "now": 1000, "lifeboat": "none", "signed_by": "f" * 64}


def present(**changes):
    facts = {
        "firmware": "bios",
        "memory_bytes": 1024 * MIB,
        "system_disk": "/dev/vda",
        "disks": [
            {
                "name": "/dev/vda",
                "serial": "LAB0815-0",
                "wwn": "",
                "by_id": ["/dev/disk/by-id/b", "/dev/disk/by-id/a"],
                "size_bytes": DISK_BYTES,
                "logical_sector_bytes": 512,
                "table": "gpt",
                "table_id": "guid",
                "partitions": [{"mounts": ["/boot/dispatch", "swap"]}],
            }
        ],
        "root": {"uuid": "u", "fstype": "ext4", "size_bytes": 3 << 30, "free_bytes": 2 << 30},
        "volume_groups": [{"name": "VA", "disks": ["/dev/vda"]}],
        **changes.pop("facts", {}),
    }
    fields = {
        "facts": facts,
        "capture": {"hostname": "gw1", "machine_id": "m"},
        "plan": {"layout": resolved().to_document(), "kernel_arguments": ["console=ttyS0"]},
        "slot": "a",
        "slot_state": "good",
        "run_id": "r1",
    }
    return Present(**{**fields, **changes})


@pytest.fixture
def found(tmp_path):
    folder = lay(tmp_path / "r1/gw1")
    (folder / "root.tar.gz.sha256").write_text(saved.digest(folder / "root.tar.gz") + "  root.tar.gz\n")
    return saved.load(folder)


def refusals(judged):
    return [one["id"] for one in judged["findings"] if one["severity"] == "refuse"]


def test_a_host_that_can_be_restored(found):
    judged = judge(present(), found, MANIFEST, load(OPTIONS))
    assert judged["verdict"] == "proceed"
    assert judged["refused"] is None
    assert [one["id"] for one in judged["findings"]] == ["revive.no_lifeboat", "revive.everything_goes"]
    plan = judged["plan"]
    assert document.load(plan) == plan
    assert (plan["mode"], plan["slot"], plan["from_run_id"], plan["old"]["run_id"]) == ("restore", "a", "r1", "r1")
    assert plan["payload"] == {
        "file": "root.tar.gz",
        "sha256": found.sha256,
        "size": 7,
        "compression": "gzip",
        "unpacked_bytes": 0,
    }
    assert plan["old"]["root"]["uuid"] == UUID
    assert plan["old"]["pieces"][-1]["start"] == 0
    assert plan["kernel_arguments"] == ["console=ttyS0"]
    assert (plan["created"], plan["expires"]) == (1000, 1000 + 86400)
    assert plan["staging"]["run_directory"] == "/var/lib/dualroot/runs/r2"


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({"facts": {"firmware": "uefi"}}, ["revive.firmware"]),
        ({"slot": "b"}, ["revive.slot"]),
        ({"slot_state": "trying"}, ["revive.slot"]),
        ({"plan": {}}, ["revive.no_layout"]),
        ({"facts": {"system_disk": None}}, ["revive.other_disk"]),
        ({"facts": {"memory_bytes": 256 * MIB}}, ["revive.memory"]),
        ({"facts": {"root": {"size_bytes": 3 << 30, "free_bytes": 100 * MIB}}}, ["revive.no_room"]),
        ({"facts": {"volume_groups": [{"name": "VA", "disks": ["/dev/vda", "/dev/vdb"]}]}}, ["revive.spans_disks"]),
    ],
)
def test_what_refuses_of_the_host(found, changes, ids):
    judged = judge(present(**changes), found, MANIFEST, load(OPTIONS))
    assert refusals(judged) == ids
    assert (judged["verdict"], judged["plan"]) == ("refuse", None)
    assert judged["refused"]["id"] == "preflight.refused"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"serial": "OTHER"}, "serial"),
        ({"size_bytes": DISK_BYTES + 512}, "bytes instead"),
        ({"serial": "", "name": "/dev/sdb"}, "neither serial"),
    ],
)
def test_another_disk_is_refused(found, changes, word):
    host = present()
    if "name" in changes:
        host.facts["system_disk"] = changes["name"]
    host.facts["disks"][0].update(changes)
    (finding,) = [
        one for one in judge(host, found, MANIFEST, load(OPTIONS))["findings"] if one["id"] == "revive.other_disk"
    ]
    assert word in finding["what"]


def test_every_finding_comes_at_once(tmp_path):
    folder = lay(
        tmp_path / "r1/gw1", disk(partition(fstype="xfs"), partition(number=2, start_lba=40960, mounts=["/srv"]))
    )
    host = present(facts={"firmware": "uefi"}, slot="b")
    judged = judge(host, saved.load(folder), MANIFEST, load({**OPTIONS, "lifeboat": "", "signed_by": ""}))
    assert refusals(judged) == [
        *("revive.firmware", "revive.slot", "revive.root_not_plain", "revive.not_saved", "revive.lifeboat_no_room"),
    ]
    warned = [one["id"] for one in judged["findings"] if one["severity"] == "warn"]
    assert warned == ["revive.digest_unknown", "revive.unsigned", "revive.everything_goes"]


def test_a_damaged_archive_is_refused(found):
    judged = judge(present(), replace(found, recorded="0" * 64), MANIFEST, load(OPTIONS))
    assert refusals(judged) == ["revive.archive_damaged"]


@pytest.mark.parametrize(
    ("wish", "found_ids"),
    [("required", ["revive.lifeboat_no_room"]), ("", ["revive.lifeboat_no_room"]), ("auto", [])],
)
def test_to_go_without_a_lifeboat_must_be_said(found, wish, found_ids):
    """The archive of this test unpacks to nothing, so that no room can be promised."""
    judged = judge(present(), found, MANIFEST, load({**OPTIONS, "lifeboat": wish}))
    assert refusals(judged) == found_ids
    assert ("revive.lifeboat_left_out" in [one["id"] for one in judged["findings"]]) == (wish == "auto")


def test_options_of_a_survey():
    chosen = load({**OPTIONS, "attended": "false", "go_timeout": "5", "kernel_arguments": "a b", "login_user": ""})
    assert (chosen.attended, chosen.go_timeout, chosen.kernel_arguments, chosen.login_user) == (
        False,
        5,
        ("a", "b"),
        "root",
    )


def test_every_wrong_option_is_named():
    wrong = {"run_id": "", "host": "h", "attended": "maybe", "go_timeout": "0", "lifeboat": "nope", "odd": 1}
    with pytest.raises(Fault) as caught:
        load(wrong)
    for word in ("dualroot_run_id", "dualroot_attended", "dualroot_go_timeout", "dualroot_lifeboat", "dualroot_odd"):
        assert word in caught.value.what
