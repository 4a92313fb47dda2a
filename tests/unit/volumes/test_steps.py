# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is planned for volumes and file systems: every argv, and nothing when all is there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.volumes import apply, direct, filesystems, lvm, steps

from tests.support import layouts
from tests.support.fake_runner import FakeRunner
from tests.support.trees import Tree

RESOLVED = layouts.resolved("va")
MIB = 1 << 20
EXTENT = 4 * MIB
SETTLE = ("udevadm", "settle", "--timeout=30")
UUIDS = {one.on: one.uuid for one in RESOLVED.file_systems}
EXT4 = ("mkfs.ext4", "-q", "-F", "-O", filesystems.EXT4_FEATURES)
WIPE = ("wipefs", "--all", "--force")


PVCREATE = ("lvm", "pvcreate", "--yes", "--config", "devices/data_alignment_offset_detection=0")
PVCREATE += ("--dataalignment", "1048576b")


def lvcreate(group, name, extents, *places):
    return (
        *("lvm", "lvcreate", "--yes", "--wipesignatures", "y", "--zero", "y"),
        *("--extents", str(extents), "--name", name, group, *places),
    )


CONVERT = [
    (*PVCREATE, "/dev/vda3"),
    ("lvm", "vgcreate", "--yes", "--physicalextentsize", "4194304b", "VA", "/dev/vda3"),
    lvcreate("VA", "root", 767, "/dev/vda3:0-766"),
    lvcreate("VA", "image", 128, "/dev/vda3:767-894"),
    lvcreate("VA", "data", 128, "/dev/vda3:895-1022"),
    (*EXT4, "-L", "dispatch", "-U", UUIDS["dispatch"], "/dev/vda2"),
    (*EXT4, "-L", "root_a", "-U", UUIDS["root_a"], "/dev/VA/root"),
    (*EXT4, "-L", "image", "-U", UUIDS["image"], "/dev/VA/image"),
    (*EXT4, "-L", "data", "-U", UUIDS["data"], "/dev/VA/data"),
]


class Host(Tree):
    """A disk with the partitions of layout va, and an LVM and blkid that answer from tables."""

    def __init__(self, root, partitions=3):
        super().__init__(root)
        self.disk("vda")
        for part in RESOLVED.partitions[:partitions]:
            self.partition("vda", part.number, part.start_lba * 512, part.sectors * 512)
        self.physical = {}  # node -> group
        self.groups = {}  # name -> extent size
        self.logical = {}  # (group, name) -> extents
        self.inactive = set()
        self.signatures = {}  # node -> (kind, uuid)
        self.runner = FakeRunner(handler=self.handle)

    def handle(self, argv, _stdin):
        if argv[:2] == ("lvm", "pvs"):
            row = {"pv_size": "1", "pe_start": "1", "pv_pe_count": "1"}
            return {"report": [{"pv": [{"pv_name": n, "vg_name": g, **row} for n, g in self.physical.items()]}]}
        if argv[:2] == ("lvm", "vgs"):
            row = {"vg_uuid": "u", "vg_extent_count": "9", "vg_free_count": "0"}
            rows = [{"vg_name": n, "vg_extent_size": str(e), **row} for n, e in self.groups.items()]
            return {"report": [{"vg": rows}]}
        if argv[:2] == ("lvm", "lvs"):
            rows = [
                {
                    "lv_name": name,
                    "vg_name": group,
                    "lv_size": str(extents * EXTENT),
                    "lv_active": "" if name in self.inactive else "active",
                }
                for (group, name), extents in self.logical.items()
            ]
            return {"report": [{"lv": rows}]}
        if argv[0] == "blkid":
            kind, uuid = self.signatures.get(argv[-1], ("", ""))
            return f"UUID={uuid}\nTYPE={kind}\n" if kind else ""
        return None

    def done(self):
        """Bring the host into the state after convert."""
        self.physical["/dev/vda3"] = "VA"
        self.groups["VA"] = EXTENT
        for index, (name, extents) in enumerate((("root", 767), ("image", 128), ("data", 128))):
            self.logical["VA", name] = extents
            self.volume(f"dm-{index}", ["vda3"], "VA", name)
        for on in ("dispatch", "root_a", "image", "data"):
            self.signatures[RESOLVED.device("/dev/vda", on)] = ("ext4", UUIDS[on])
        return self

    def plan(self, upto="convert", **options):
        wanted = steps.target(RESOLVED, "/dev/vda", upto)
        return steps.plan(self.runner, wanted, root=self.root, **options)

    def commands(self, *arguments, **options):
        return [argv for step in self.plan(*arguments, **options) for argv in step.commands]


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def fault_of(host, **options):
    with pytest.raises(Fault) as raised:
        host.plan(**options)
    return raised.value


def test_everything_on_empty_partitions(host):
    assert host.commands() == CONVERT


def test_nothing_when_all_is_there(host):
    assert host.done().plan() == []


def test_commit_adds_the_second_group(tmp_path):
    host = Host(tmp_path, partitions=4).done()
    assert host.commands("commit") == [
        (*PVCREATE, "/dev/vda4"),
        ("lvm", "vgcreate", "--yes", "--physicalextentsize", "4194304b", "VB", "/dev/vda4"),
        lvcreate("VB", "root", 766, "/dev/vda4:0-765"),
        (*EXT4, "-L", "root_b", "-U", UUIDS["root_b"], "/dev/VB/root"),
    ]


def test_running_settles_after_each_step_and_tells_it(host):
    told = []
    done = apply.ensure(host.runner, "/dev/vda", RESOLVED, "convert", on_step=told.append, root=host.root)
    ran = [argv for argv in host.runner.calls if argv in CONVERT or argv == SETTLE]
    assert ran == [one for argv in CONVERT for one in (argv, SETTLE)]
    assert told == [step.text for step in done]
    assert told[0] == "create physical volume /dev/vda3"
    assert told[-1] == "make file system ext4 data on /dev/VA/data"


def test_what_was_interrupted_goes_on(host):
    host.done()
    del host.logical["VA", "data"]
    del host.signatures["/dev/VA/image"]
    assert host.commands() == [lvcreate("VA", "data", 128, "/dev/vda3:895-1022"), CONVERT[-2], CONVERT[-1]]


def test_inactive_volumes_are_activated(host):
    host.done().inactive.add("image")
    assert host.commands() == [("lvm", "vgchange", "--activate", "y", "VA")]


def test_a_group_that_sleeps_after_a_restart_is_woken_before_its_volumes_are_looked_at(host):
    host.done().inactive.update(("root", "image", "data"))
    seen = []
    node = host.root / "dev/VA/root"
    target = node.readlink()
    node.unlink()

    def handle(argv, stdin):
        seen.append(argv)
        if argv == ("lvm", "vgchange", "--activate", "y", "VA") and not node.is_symlink():
            node.symlink_to(target)
            host.inactive.clear()
        return host.handle(argv, stdin)

    runner = FakeRunner(handler=handle)
    assert apply.ensure(runner, "/dev/vda", RESOLVED, "convert", root=host.root) == []
    assert [argv for argv in seen if argv[0] != "blkid"][1:3] == [("lvm", "vgchange", "--activate", "y", "VA"), SETTLE]


def test_a_smaller_volume_grows_with_its_file_system(host):
    host.done().logical["VA", "root"] = 700
    assert host.commands() == [
        ("lvm", "lvextend", "--extents", "767", "VA/root"),
        ("resize2fs", "/dev/VA/root"),
    ]


def test_a_larger_volume_is_refused_unless_replaced(host):
    host.done().logical["VA", "data"] = 200
    fault = fault_of(host)
    assert fault.id == "volumes.volume_larger"
    assert host.commands(replace=True) == [
        ("lvm", "lvremove", "--yes", "VA/data"),
        lvcreate("VA", "data", 128, "/dev/vda3:895-1022"),
        CONVERT[-1],
    ]


@pytest.mark.parametrize(
    ("node", "commands"),
    [
        ("/dev/vda3", [(*WIPE, "/dev/vda3"), (*PVCREATE, "--force", "--force", "/dev/vda3")]),
        ("/dev/vda2", [(*WIPE, "/dev/vda2"), CONVERT[5]]),
    ],
)
def test_foreign_content_is_refused_unless_replaced(host, node, commands):
    host.signatures[node] = ("ext4", "0a3407de-foreign")
    fault = fault_of(host)
    assert fault.id == "volumes.foreign_signature"
    assert "ext4 0a3407de-foreign" in fault.what
    found = host.commands(replace=True)
    at = found.index(commands[0])
    assert found[at : at + 2] == commands


def test_a_partition_of_another_group_is_refused(host):
    host.physical["/dev/vda3"] = "old"
    host.groups["old"] = EXTENT
    assert "holds volume group old" in fault_of(host).what


def test_a_physical_volume_without_group_is_used(host):
    host.physical["/dev/vda3"] = ""
    assert host.commands() == CONVERT[1:]


def test_the_name_of_a_group_on_another_disk(host):
    host.disk("vdb", bus="pci0000:00/0000:00:09.0/virtio9")
    host.physical["/dev/vdb"] = "VA"
    host.groups["VA"] = EXTENT
    for options in ({}, {"replace": True}):
        fault = fault_of(host, **options)
        assert fault.id == "volumes.group_name_taken"
        assert "already exists on /dev/vdb" in fault.what


def test_a_group_with_one_more_disk(host):
    host.done().physical["/dev/vdb"] = "VA"
    assert fault_of(host, replace=True).id == "volumes.group_differs"


def test_a_group_with_other_extents(host):
    host.done().groups["VA"] = 32 * MIB
    assert fault_of(host).id == "volumes.group_differs"
    assert host.commands(replace=True)[0] == ("lvm", "vgremove", "--yes", "--force", "VA")
    assert lvcreate("VA", "root", 767, "/dev/vda3:0-766") in host.commands(replace=True)


def test_a_device_that_is_missing(tmp_path):
    host = Host(tmp_path, partitions=2)
    assert fault_of(host).id == "volumes.device_missing"
    assert host.commands(missing_ok=True) == CONVERT


def test_direct_groups_are_resolved_on_their_devices(host):
    wanted = direct.read(
        [
            {
                "name": "DATA",
                "devices": ["/dev/vda3"],
                "volumes": [
                    {"name": "mail", "size": "25%", "file_system": {"kind": "xfs", "label": "mail"}},
                    {"name": "web", "size": "rest"},
                ],
            }
        ],
        [{"device": "/dev/vda2", "kind": "swap"}],
        root=host.root,
    )
    assert [(one.name, one.extents) for one in wanted.groups[0].volumes] == [("mail", 255), ("web", 768)]
    planned = steps.plan(host.runner, wanted, root=host.root)
    assert [argv for step in planned for argv in step.commands] == [
        (*PVCREATE, "/dev/vda3"),
        ("lvm", "vgcreate", "--yes", "--physicalextentsize", "4194304b", "DATA", "/dev/vda3"),
        lvcreate("DATA", "mail", 255),
        lvcreate("DATA", "web", 768),
        ("mkfs.xfs", "-q", "-f", "-i", "nrext64=0", "-L", "mail", "/dev/DATA/mail"),
        ("mkswap", "/dev/vda2"),
    ]
    assert direct.steps_document(planned)[0]["text"] == "create physical volume /dev/vda3"


@pytest.mark.parametrize(
    ("first", "extents", "wanted"),
    [
        (0, 10, ["/dev/a:0-9"]),
        (5, 95, ["/dev/a:5-99"]),
        (90, 60, ["/dev/a:90-99", "/dev/b:0-49"]),
        (100, 1, ["/dev/b:0-0"]),
        (90, 310, ["/dev/a:90-99", "/dev/b:0-99", "/dev/c:0-199"]),
    ],
)
def test_extents_are_counted_through_the_devices_of_a_group(first, extents, wanted):
    assert lvm.places(["/dev/a", "/dev/b", "/dev/c"], [100, 100, 200], first, extents) == wanted


def test_a_group_that_was_changed_since_takes_any_free_extents(host):
    host.done()
    del host.logical["VA", "data"]
    host.logical["VA", "image"] = 64
    assert ("lvm", "lvextend", "--extents", "128", "VA/image") in host.commands()
    assert lvcreate("VA", "data", 128) in host.commands()


def test_direct_errors_all_at_once(host):
    groups = [
        {"name": "X", "devices": ["/dev/vda3"], "extent": "3 MiB", "volumes": [{"name": "a", "size": "1G"}]},
        {"name": "Y", "device": ["/dev/vda3"], "volumes": [{"size": "rest"}, {"name": "b", "size": "rest"}]},
    ]
    with pytest.raises(Fault) as raised:
        direct.read(groups, [{"device": "/dev/vda2", "kind": "ext5"}], root=host.root)
    for part in (
        ".volume_groups[0].extent: must be a power of two",
        ".volume_groups[0].volumes[0].size: not a size: '1G'",
        ".volume_groups[1].device: unknown key (did you mean devices?)",
        ".volume_groups[1].volumes[0].name: is missing",
        ".volume_groups[1].volumes: only one size can be the rest",
        ".file_systems[0].kind: 'ext5' is none of ext4",
    ):
        assert part in raised.value.what


def test_direct_devices_must_exist(host):
    with pytest.raises(Fault) as raised:
        direct.read([{"name": "X", "devices": ["/dev/vdz"], "volumes": []}], [], root=host.root)
    assert raised.value.id == "volumes.device_missing"


@pytest.mark.parametrize(
    ("kind", "argv"),
    [
        ("vfat", ["mkfs.vfat", "-F", "32", "-n", "ESP", "-i", "ABCD1234", "/dev/x"]),
        ("swap", ["mkswap", "-L", "ESP", "-U", "ABCD-1234", "/dev/x"]),
        ("xfs", ["mkfs.xfs", "-q", "-f", "-i", "nrext64=0", "-L", "ESP", "-m", "uuid=ABCD-1234", "/dev/x"]),
    ],
)
def test_making_each_kind(kind, argv):
    system = replace(RESOLVED.file_systems[0], kind=kind, label="ESP", uuid="ABCD-1234")
    assert filesystems.make_argv(system, "/dev/x") == argv


def test_kinds_that_are_unknown_or_do_not_grow():
    with pytest.raises(Fault):
        filesystems.make_argv(replace(RESOLVED.file_systems[0], kind="btrfs"), "/dev/x")
    assert filesystems.grow_argv("xfs", "/dev/x") is None
    assert filesystems.grow_argv("xfs", "/dev/x", "/data") == ["xfs_growfs", "/data"]
    assert filesystems.grow_argv("swap", "/dev/x") is None
