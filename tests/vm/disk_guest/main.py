# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The disk engine on real disks of a virtual machine, inside the convert environment.

Runs as root in a guest that has nothing to lose. Prints ``DISK-TEST name ok`` for each test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

from dualroot.disk import identity, mbr, raw, read, signatures, sysfs, table
from dualroot.disk.marks import marks
from dualroot.faults.fault import Fault
from dualroot.layout import loader
from dualroot.layout.diff import diff
from dualroot.layout.resolve import DiskGeometry, resolve
from dualroot.lifeboat.ranges import allowed
from dualroot.probe.disk import read_layout
from dualroot.runner import CommandRunner
from dualroot.volumes import apply, direct, lvm, steps

RUNNER = CommandRunner()
LAYOUT = loader.load(json.loads(Path("/disk-tests/layout.json").read_text()))
DUAL = loader.load(json.loads(Path("/disk-tests/dual.json").read_text()))
MOUNT = Path("/run/mounted")
OLD_UUID = "0a3407de-014b-458b-b5c1-848e92a327a3"


def run(*argv: str, stdin: bytes | None = None) -> str:
    return RUNNER.run(list(argv), stdin=stdin).text


def check(condition: object, what: object) -> None:
    if not condition:
        raise AssertionError(what)


def refused(work, kind: str) -> None:
    try:
        work()
    except Fault as fault:
        check(fault.id == kind, f"{fault.id} instead of {kind}: {fault.record()}")
    else:
        raise AssertionError(f"{kind} was expected")


def by_serial(serial: str) -> str:
    found = [name for name in sysfs.disks() if serial in marks(name).serials]
    check(len(found) == 1, f"disks with serial {serial}: {found}")
    return sysfs.node_of(found[0])


def geometry(node: str) -> DiskGeometry:
    found = read.read_disk(node)
    return DiskGeometry(found.size_bytes, found.sector_bytes)


def make_old_system(node: str) -> dict:
    """An MBR with an ext4 root and a volume group, active and of the name that the layout wants too."""
    sector = geometry(node).sector_bytes
    count = (1 << 30) // sector
    first = (1 << 20) // sector
    block = bytearray(mbr.protective(1))
    block[440:444] = b"\x1b\x3a\x2f\x5d"
    for index, kind in enumerate((0x83, 0x8E)):
        entry = bytes([0x80 * (index == 0), 0, 0, 0, kind, 0, 0, 0])
        entry += (first + index * count).to_bytes(4, "little") + count.to_bytes(4, "little")
        block[446 + 16 * index : 462 + 16 * index] = entry
    with Path(node).open("r+b") as stream:
        stream.write(block)
    run("partx", "--update", node)
    run("udevadm", "settle")
    parts = [f"/dev/{part.name}" for part in sysfs.partitions(sysfs.kernel_name(node))]
    check(len(parts) == 2, parts)
    run("mkfs.ext4", "-q", "-F", "-U", OLD_UUID, parts[0])
    run("lvm", "pvcreate", "--yes", parts[1])
    run("lvm", "vgcreate", "--yes", "VA", parts[1])
    run("lvm", "lvcreate", "--yes", "--extents", "10", "--name", "old", "VA")
    found = marks(sysfs.kernel_name(node))
    check(found.table.kind == "dos", found)
    return {
        "serial": found.serial,
        "wwn": found.wwn,
        "size_bytes": found.table.size_bytes,
        "sector_bytes": found.table.sector_bytes,
        "table_id": found.table.table_id,
        "root_uuid": OLD_UUID,
    }


def test_whole_conversion(serial: str) -> None:
    node = by_serial(serial)
    planned = make_old_system(node)
    resolved = resolve(LAYOUT, geometry(node), f"run/{serial}")
    check(identity.find(RUNNER, planned) == node, "the planned disk is found")
    smaller = {**planned, "size_bytes": planned["size_bytes"] + planned["sector_bytes"]}
    refused(lambda: identity.find(RUNNER, smaller), "disk.in_doubt")
    refused(lambda: table.apply(RUNNER, node, resolved, "convert", relabel=True), "disk.in_use")

    done = signatures.tear_down(RUNNER, node)
    check("deactivated volume group VA" in done, done)
    check(signatures.tear_down(RUNNER, node) == [], "a second teardown finds nothing")
    refused(lambda: table.apply(RUNNER, node, resolved, "convert"), "disk.relabel_refused")
    check(table.apply(RUNNER, node, resolved, "convert", relabel=True).kind == "replace", "a new table")
    check(table.apply(RUNNER, node, resolved, "convert").kind == "none", "the table is there")
    check(identity.find(RUNNER, planned, new_disk_guid=resolved.disk_guid) == node, "a resumed run finds it")

    apply.ensure(RUNNER, node, resolved, "convert", replace=True)
    check(apply.ensure(RUNNER, node, resolved, "convert") == [], "volumes are there")
    differences = diff(resolved, read_layout(RUNNER, node), "convert")
    check(not differences, [str(one) for one in differences])

    MOUNT.mkdir(exist_ok=True)
    run("mount", resolved.device(node, "root_a"), str(MOUNT))
    refused(lambda: table.apply(RUNNER, node, other(resolved, node), "convert", relabel=True), "disk.in_use")
    check(table.apply(RUNNER, node, resolved, "commit").kind == "add", "commit adds to a disk in use")
    wipe_backup(node, resolved)
    check(table.apply(RUNNER, node, resolved, "commit").kind == "mend", "a copy is mended on a disk in use")
    check(table.apply(RUNNER, node, resolved, "commit").kind == "none", "it is mended")
    apply.ensure(RUNNER, node, resolved, "commit")
    check(apply.ensure(RUNNER, node, resolved, "commit") == [], "commit is there")
    differences = diff(resolved, read_layout(RUNNER, node), "commit")
    check(not differences, [str(one) for one in differences])
    refused(lambda: signatures.tear_down(RUNNER, node), "disk.in_use")
    run("umount", str(MOUNT))
    check("No problems found" in run("sgdisk", "--verify", node), "sgdisk agrees")


def wipe_backup(node, resolved) -> None:
    """As a cut between header and backup leaves it, or worse."""
    with raw.opened(node, write=True) as handle:
        raw.write_at(handle, resolved.disk_bytes - resolved.sector_bytes, bytes(resolved.sector_bytes))


def other(resolved, node):
    return resolve(LAYOUT, geometry(node), f"another run of {resolved.disk_guid}")


def test_an_ancient_group_stays_dead(serial: str) -> None:
    """The same layout again, after only the table was lost: old physical volumes must not come to life."""
    node = by_serial(serial)
    for group in ("VA", "VB"):
        run("lvm", "vgchange", "--activate", "n", group)
    run("sgdisk", "--zap-all", node)
    if sysfs.partitions(sysfs.kernel_name(node)):
        run("partx", "--update", node)
    resolved = resolve(LAYOUT, geometry(node), "a second run")
    table.apply(RUNNER, node, resolved, "convert")
    check([one.name for one in lvm.groups(RUNNER)] == [], lvm.groups(RUNNER))
    apply.ensure(RUNNER, node, resolved, "convert")
    check(not diff(resolved, read_layout(RUNNER, node), "convert"), "converted again")
    signatures.tear_down(RUNNER, node)
    run("sgdisk", "--zap-all", node)


def test_allowed_ranges_are_left_alone_until_commit(serial: str) -> None:
    """Marks every 256 KiB of what ``allowed`` promises; a conversion must leave all of them as they are."""
    node = by_serial(serial)
    for layout in (LAYOUT, DUAL):
        make_old_system(node)
        resolved = resolve(layout, geometry(node), f"allowed/{layout.name}/{serial}")
        places = [
            place for one in allowed(resolved) for place in (*range(one.start, one.end, 256 << 10), one.end - 4096)
        ]
        check(len(places) > 4000, len(places))
        mark_places(node, places)
        signatures.tear_down(RUNNER, node)
        table.apply(RUNNER, node, resolved, "convert", relabel=True)
        apply.ensure(RUNNER, node, resolved, "convert", replace=True)
        run("lvm", "vgchange", "--activate", "n", resolved.volume_groups[0].name)
        changed = changed_places(node, places)
        check(not changed, f"{layout.name}: {len(changed)} of {len(places)} written over, first {changed[:3]}")
        apply.ensure(RUNNER, node, resolved, "convert")
        table.apply(RUNNER, node, resolved, "commit")
        apply.ensure(RUNNER, node, resolved, "commit")
        check(changed_places(node, places), "at commit the places are used")
        differences = diff(resolved, read_layout(RUNNER, node), "commit")
        check(not differences, [str(one) for one in differences])
        signatures.tear_down(RUNNER, node)
        run("sgdisk", "--zap-all", node)


def mark_places(node: str, places: list[int]) -> None:
    with Path(node).open("r+b", buffering=0) as stream:
        for place in places:
            stream.seek(place)
            stream.write(place.to_bytes(8, "little") * 512)
        os.fsync(stream.fileno())


def changed_places(node: str, places: list[int]) -> list[int]:
    found = []
    with Path(node).open("rb", buffering=0) as stream:
        for place in places:
            os.posix_fadvise(stream.fileno(), place, 4096, os.POSIX_FADV_DONTNEED)
            stream.seek(place)
            if stream.read(4096) != place.to_bytes(8, "little") * 512:
                found.append(place)
    return found


def test_growing(serial: str) -> None:
    node = by_serial(serial)

    def wanted(size: str):
        volumes = [
            {"name": "one", "size": size, "file_system": {"kind": "ext4", "label": "one"}},
            {"name": "two", "size": "rest", "file_system": {"kind": "xfs"}},
        ]
        return direct.read([{"name": "DATA", "devices": [node], "volumes": volumes[: 1 if size != "30%" else 2]}], [])

    apply.run_steps(RUNNER, steps.plan(RUNNER, wanted("200 MiB")))
    check(steps.plan(RUNNER, wanted("200 MiB")) == [], "nothing to do")
    MOUNT.mkdir(exist_ok=True)
    run("mount", "/dev/DATA/one", str(MOUNT))
    (MOUNT / "kept").write_text("content")
    apply.run_steps(RUNNER, steps.plan(RUNNER, wanted("400 MiB")))
    blocks = int(run("stat", "-f", "-c", "%b", str(MOUNT))) * int(run("stat", "-f", "-c", "%S", str(MOUNT)))
    check(blocks > 350 << 20, f"the file system has {blocks} bytes")
    check((MOUNT / "kept").read_text() == "content", "content is kept")
    refused(lambda: steps.plan(RUNNER, wanted("100 MiB")), "volumes.volume_larger")
    run("umount", str(MOUNT))
    run("lvm", "vgremove", "--yes", "--force", "DATA")
    run("lvm", "pvremove", "--yes", node)


def test_a_group_across_disks_is_left_alone(first: str, second: str) -> None:
    nodes = [by_serial(first), by_serial(second)]
    for node in nodes:
        run("lvm", "pvcreate", "--yes", node)
    run("lvm", "vgcreate", "--yes", "SPAN", *nodes)
    refused(lambda: signatures.tear_down(RUNNER, nodes[0]), "disk.spans_disks")
    check([one.name for one in lvm.groups(RUNNER)] == ["SPAN"], "it is still there")
    run("lvm", "vgremove", "--yes", "SPAN")
    for node in nodes:
        run("lvm", "pvremove", "--yes", node)


TESTS = (
    (test_whole_conversion, ("D512",)),
    (test_an_ancient_group_stays_dead, ("D512",)),
    (test_whole_conversion, ("DNVME",)),
    (test_an_ancient_group_stays_dead, ("DNVME",)),
    (test_whole_conversion, ("D4096",)),
    (test_an_ancient_group_stays_dead, ("D4096",)),
    (test_allowed_ranges_are_left_alone_until_commit, ("D512",)),
    (test_allowed_ranges_are_left_alone_until_commit, ("D4096",)),
    (test_growing, ("DSCSI",)),
    (test_a_group_across_disks_is_left_alone, ("DSCSI", "DNVME")),
)


def main() -> int:
    failed = 0
    for test, arguments in TESTS:
        name = f"{test.__name__}[{','.join(arguments)}]"
        try:
            test(*arguments)
            print(f"DISK-TEST {name} ok", flush=True)
        except Exception as error:
            failed += 1
            print(f"DISK-TEST {name} FAILED", flush=True)
            traceback.print_exc(file=sys.stdout)
            if isinstance(error, Fault):
                print(error.record(), flush=True)
            subprocess.run(["umount", "-q", str(MOUNT)], check=False)
    return failed


if __name__ == "__main__":
    sys.exit(main())
