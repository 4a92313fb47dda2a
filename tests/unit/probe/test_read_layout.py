# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A disk is read into the words of the layout, and the diff of both is empty."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import table
from ansible_collections.dualroot.migrate.plugins.module_utils.faults import command
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.diff import diff
from ansible_collections.dualroot.migrate.plugins.module_utils.probe.disk import read_layout

from tests.support import layouts
from tests.support.fake_runner import FakeRunner
from tests.support.trees import Tree, write_gpt

RESOLVED = layouts.resolved("va")


class Host(Tree):
    """A disk after convert, with slot a running."""

    def __init__(self, root):
        super().__init__(root)
        self.disk("vda")
        write_gpt(root / "dev/vda", table.target(RESOLVED, "convert"))
        for part in RESOLVED.partitions[:3]:
            self.partition("vda", part.number, part.start_lba * 512, part.sectors * 512)
        for index, volume in enumerate(RESOLVED.volume_groups[0].volumes):
            self.volume(f"dm-{index}", ["vda3"], "VA", volume.name)
        for name, target in (("vda2", "/boot/dispatch"), ("dm-0", "/"), ("dm-1", "/image"), ("dm-2", "/data")):
            self.mount(name, target)
        self.systems = {RESOLVED.device("/dev/vda", one.on): one for one in RESOLVED.file_systems}
        self.lvm = True
        self.runner = FakeRunner(handler=self.handle)

    def handle(self, argv, _stdin):
        if argv[0] == "blkid":
            system = self.systems.get(argv[-1])
            return f"UUID={system.uuid}\nTYPE={system.kind}\nLABEL={system.label}\n" if system else ""
        if not self.lvm:
            raise Fault(command.MISSING, program="lvm")
        if argv[1] == "pvs":
            row = {"pv_size": "1", "pe_start": "1048576", "pv_pe_count": "1023"}
            return {"report": [{"pv": [{"pv_name": "/dev/vda3", "vg_name": "VA", **row}]}]}
        if argv[1] == "vgs":
            row = {"vg_uuid": "u", "vg_extent_size": "4194304", "vg_extent_count": "1023", "vg_free_count": "0"}
            return {"report": [{"vg": [{"vg_name": "VA", **row}, {"vg_name": "other", **row}]}]}
        rows = [
            {"lv_name": one.name, "vg_name": "VA", "lv_size": str(one.bytes), "lv_active": "active"}
            for one in RESOLVED.volume_groups[0].volumes
        ]
        return {"report": [{"lv": rows}]}


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def differences(host, upto="convert"):
    return [one.path for one in diff(RESOLVED, read_layout(host.runner, "/dev/vda", host.root), upto, slot="a")]


def test_no_difference_after_convert(host):
    assert differences(host) == []


def test_commit_is_still_to_come(host):
    assert differences(host, "commit")[:2] == [".partitions[vb]", ".volume_groups[vb_group]"]


def test_what_is_not_mounted_differs(host):
    host._mounts.pop()
    host.mount("dm-2", "/elsewhere")
    assert differences(host) == [".file_systems[data].mount"]


def test_a_damaged_backup_differs_when_all_is_done(host):
    with (host.root / "dev/vda").open("r+b") as stream:
        stream.seek((8 << 30) - 512)
        stream.write(bytes(512))
    # The commit that is still to come mends it.
    assert differences(host) == []
    assert differences(host, "commit")[0] == ".table"


def test_without_lvm_there_are_no_groups(host):
    host.lvm = False
    assert ".volume_groups[va_group]" in differences(host)
