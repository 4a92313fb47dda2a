# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The restore engine with the real tar, zstd, xz and gzip, on plain directories."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.archive import marker
from ansible_collections.dualroot.migrate.plugins.module_utils.archive.restore import Order, restore
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.disk import PackedPart, write_part
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import BLOCK, Extent, Part
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

PACKERS = {"tar": None, "tar.gz": ["gzip"], "tar.xz": ["xz", "-1"], "tar.zst": ["zstd", "-q"]}

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners and device nodes need root")


def pack(source: Path, archive: Path, packer: list[str] | None = None, *options: str) -> str:
    """Make a tar of a tree; return its SHA-256."""
    argv = ["tar", "-C", source, "--numeric-owner", *options, "-cf", "-", "."]
    tar = subprocess.run(argv, check=True, capture_output=True).stdout
    if packer:
        tar = subprocess.run(packer, input=tar, check=True, capture_output=True).stdout
    archive.write_bytes(tar)
    return hashlib.sha256(tar).hexdigest()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_bytes(os.urandom(1 << 20))
    (root / "usr/bin/tool").chmod(0o4755)
    os.link(root / "usr/bin/tool", root / "usr/bin/second")
    (root / "bin").symlink_to("usr/bin")
    (root / "etc").mkdir()
    (root / "etc/mtab").symlink_to("../proc/self/mounts")
    (root / "etc/absolute").symlink_to("/usr/bin/tool")
    (root / ("long-" + "n" * 120)).write_text("long name\n")
    (root / "umlaut-ü").write_text("é\n")
    with open(root / "sparse", "wb") as stream:
        stream.truncate(16 << 20)
        stream.seek(8 << 20)
        stream.write(b"island")
    return root


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    (path / "lost+found").mkdir()
    return path


def order(archive: Path, target: Path, **more: object) -> Order:
    return Order(source=archive, target=target, **more)  # type: ignore[arg-type]


def fault_of(*args: object, **more: object) -> Fault:
    with pytest.raises(Fault) as caught:
        restore(CommandRunner(), order(*args, **more))  # type: ignore[arg-type]
    caught.value.record()
    return caught.value


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("style", ["gnu", "pax", "ustar"])
def test_restores_a_tree(tree: Path, target: Path, tmp_path: Path, suffix: str, style: str) -> None:
    archive = tmp_path / f"root.{suffix}"
    options = ["--format=pax", "--xattrs", "--acls"] if style == "pax" else [f"--format={style}"]
    if style == "ustar":
        (tree / ("long-" + "n" * 120)).unlink()
    else:
        options.append("--sparse")
    digest = pack(tree, archive, PACKERS[suffix], *options)
    seen: list[tuple[int, int]] = []

    done = restore(CommandRunner(), order(archive, target, sha256=digest), lambda at, of: seen.append((at, of)))

    size = archive.stat().st_size
    assert (done.changed, done.digest, done.bytes) == (True, digest, size)
    assert seen[-1] == (size, size)
    assert done.entries == 12 - (style == "ustar")
    assert (target / "usr/bin/tool").read_bytes() == (tree / "usr/bin/tool").read_bytes()
    assert (target / "usr/bin/tool").stat().st_nlink == 2
    assert (target / "usr/bin/tool").stat().st_mode & 0o7777 == 0o4755
    assert os.readlink(target / "etc/mtab") == "../proc/self/mounts"
    assert os.readlink(target / "etc/absolute") == "/usr/bin/tool"
    assert (target / "sparse").stat().st_size == 16 << 20
    if style != "ustar":
        assert (target / "sparse").stat().st_blocks * 512 < 1 << 20
    assert marker.read(target) == marker.Marker("complete", digest)


@as_root
@pytest.mark.parametrize("acls", [["--acls"], []], ids=["text", "raw"])
def test_keeps_owners_nodes_attributes_and_acls(tree: Path, target: Path, tmp_path: Path, acls: list[str]) -> None:
    archive = tmp_path / "root.tar"
    os.chown(tree / "etc", 1234, 4321)
    os.mknod(tree / "null", 0o20666, os.makedev(1, 3))
    os.setxattr(tree / "usr/bin/tool", "user.note", b"kept")
    os.setxattr(tree / "usr/bin/tool", "security.selinux", b"system_u:object_r:bin_t:s0\0")
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(tree / "usr/bin/second", "security.capability", capability)
    acl = bytes.fromhex("0200000001000700ffffffff02000600e803000004000500ffffffff10000700ffffffff20000500ffffffff")
    os.setxattr(tree / "etc", "system.posix_acl_access", acl)
    digest = pack(tree, archive, None, "--format=pax", *acls, "--xattrs", "--xattrs-include=*")

    restore(CommandRunner(), order(archive, target, sha256=digest))

    assert ((target / "etc").stat().st_uid, (target / "etc").stat().st_gid) == (1234, 4321)
    assert (target / "null").stat().st_rdev == os.makedev(1, 3)
    assert os.getxattr(target / "usr/bin/tool", "user.note") == b"kept"
    assert os.getxattr(target / "usr/bin/tool", "security.selinux").startswith(b"system_u:object_r:bin_t")
    assert os.getxattr(target / "usr/bin/tool", "security.capability") == capability
    assert os.getxattr(target / "etc", "system.posix_acl_access") == acl


@as_root
def test_looks_up_names_of_acls_in_the_restored_system(tree: Path, target: Path, tmp_path: Path) -> None:
    archive = tmp_path / "root.tar"
    (tree / "etc/group").write_text("adm:x:4321:\n")
    # adm is group 4 here (base-passwd); the archive holds its name.
    head, tail = "020000000100070" + "0ffffffff04000500ffffffff08000500", "10000500ffffffff20000500ffffffff"
    os.setxattr(tree / "etc", "system.posix_acl_default", bytes.fromhex(head + "04000000" + tail))
    digest = pack(tree, archive, None, "--format=pax", "--acls")

    done = restore(CommandRunner(), order(archive, target, sha256=digest))

    assert done.notes == ()
    found = os.getxattr(target / "etc", "system.posix_acl_default")
    assert found == bytes.fromhex(head + "e1100000" + tail)
    assert os.listxattr(target / "etc/group") == []


def test_second_run_changes_nothing(tree: Path, target: Path, tmp_path: Path) -> None:
    archive = tmp_path / "root.tar"
    digest = pack(tree, archive)
    restore(CommandRunner(), order(archive, target, sha256=digest))
    (target / "usr/bin/tool").write_text("edited since")

    assert restore(CommandRunner(), order(archive, target, sha256=digest)).changed is False
    assert (target / "usr/bin/tool").read_text() == "edited since"


def test_a_wrong_digest_leaves_nothing_that_looks_whole(tree: Path, target: Path, tmp_path: Path) -> None:
    archive = tmp_path / "root.tar"
    pack(tree, archive)

    assert fault_of(archive, target, sha256="0" * 64).id == "archive.digest"

    assert sorted(os.listdir(target)) == [".dualroot-restore", "lost+found"]
    assert marker.read(target) == marker.Marker("incomplete", "0" * 64)


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_flipped_bit_is_blamed_on_the_digest(tree: Path, target: Path, tmp_path: Path, suffix: str) -> None:
    archive = tmp_path / f"root.{suffix}"
    digest = pack(tree, archive, PACKERS[suffix])
    with open(archive, "r+b") as stream:
        stream.seek(archive.stat().st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 1]))

    assert fault_of(archive, target, sha256=digest).id == "archive.digest"
    assert not marker.read(target).complete  # type: ignore[union-attr]


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_cut_archive_is_a_fault_and_the_next_run_starts_clean(
    tree: Path, target: Path, tmp_path: Path, suffix: str
) -> None:
    archive = tmp_path / f"root.{suffix}"
    digest = pack(tree, archive, PACKERS[suffix])
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) * 3 // 4])

    assert fault_of(archive, target).id in ("archive.truncated", "archive.unpack_failed")
    assert not marker.read(target).complete  # type: ignore[union-attr]

    (target / "left-behind").write_text("from the first try")
    archive.write_bytes(whole)
    assert restore(CommandRunner(), order(archive, target, sha256=digest)).changed
    assert not (target / "left-behind").exists()


def test_refuses_a_target_with_files_unless_told(tree: Path, target: Path, tmp_path: Path) -> None:
    archive = tmp_path / "root.tar"
    digest = pack(tree, archive)
    (target / "precious").write_text("data")

    fault = fault_of(archive, target, sha256=digest)
    assert (fault.id, fault.particulars["found"]) == ("archive.not_empty", "precious")
    assert not (target / marker.NAME).exists()

    restore(CommandRunner(), order(archive, target, sha256=digest, existing="overlay"))
    assert (target / "precious").read_text() == "data"
    restore(CommandRunner(), order(archive, target, sha256="", existing="erase"))
    assert not (target / "precious").exists()


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        ("s,^./usr/bin/tool,/tmp/dualroot-escape,", "absolute path"),
        ("s,^./usr/bin/tool,./usr/../../escape,", "'..'"),
    ],
)
def test_refuses_members_that_leave_the_target(
    tree: Path, target: Path, tmp_path: Path, transform: str, reason: str
) -> None:
    archive = tmp_path / "root.tar"
    # flags: r regular, s not symbolic links, h not hard link targets
    pack(tree, archive, None, "-P", f"--transform=flags=rSH;{transform}")

    fault = fault_of(archive, target)

    assert fault.id == "archive.unsafe_member"
    assert reason in fault.particulars["reason"]
    assert not (tmp_path / "escape").exists()
    assert sorted(os.listdir(target)) == [".dualroot-restore", "lost+found"]


@pytest.mark.parametrize("link", ["../outside", "usr/../../outside", ".."])
def test_refuses_links_that_climb_out(target: Path, tmp_path: Path, link: str) -> None:
    source = tmp_path / "evil"
    source.mkdir()
    (source / "link").symlink_to(link)
    archive = tmp_path / "root.tar"
    pack(source, archive)

    assert fault_of(archive, target).id == "archive.unsafe_member"
    assert not (target / "link").is_symlink()


def test_refuses_members_behind_a_link(target: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    (first / "door").symlink_to(outside)
    (second / "door").mkdir(parents=True)
    (second / "door/file").write_text("through the door")
    archive = tmp_path / "root.tar"
    pack(first, archive)
    subprocess.run(["tar", "-C", second, "-rf", archive, "./door/file"], check=True)

    fault = fault_of(archive, target)

    assert (fault.id, "behind the link" in fault.particulars["reason"]) == ("archive.unsafe_member", True)
    assert list(outside.iterdir()) == []


def test_stops_an_archive_that_unpacks_without_end(target: Path, tmp_path: Path) -> None:
    source = tmp_path / "bomb"
    source.mkdir()
    (source / "zeros").write_bytes(bytes(200 << 20))
    archive = tmp_path / "root.tar.zst"
    digest = pack(source, archive, ["zstd", "-q"])

    fault = fault_of(archive, target, sha256=digest, unpacked_bytes=1 << 20)

    assert fault.id == "archive.too_large"
    assert not (target / "zeros").exists()


def test_not_an_archive(target: Path, tmp_path: Path) -> None:
    archive = tmp_path / "root.zip"
    archive.write_bytes(b"PK\x03\x04" + bytes(1000))
    assert fault_of(archive, target).id == "archive.unknown_format"
    assert fault_of(tmp_path / "none", target).id == "archive.not_there"
    assert os.listdir(target) == ["lost+found"]


def test_leaves_no_process_and_no_handle_behind(tree: Path, target: Path, tmp_path: Path) -> None:
    archive = tmp_path / "root.tar.zst"
    pack(tree, archive, ["zstd", "-q"])
    restore(CommandRunner(), order(archive, target))
    before = len(os.listdir("/proc/self/fd"))
    fault_of(archive, target, sha256="1" * 64, existing="erase")
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_restores_from_scattered_extents_of_a_disk(tree: Path, target: Path, tmp_path: Path) -> None:
    archive, node = tmp_path / "packed", tmp_path / "disk"
    digest = pack(tree, archive, ["zstd", "-q"])
    content = archive.read_bytes()
    half = len(content) // 2 // BLOCK * BLOCK
    part = Part("payload", len(content), digest, (Extent(16 << 20, half), Extent(8 << 20, half + 2 * BLOCK)))
    node.write_bytes(b"\xff" * (32 << 20))
    write_part(node, part, [content])
    seen: list[tuple[int, int]] = []
    payload = Order(PackedPart(str(node), part), target, sha256=digest)

    done = restore(CommandRunner(), payload, lambda count, total: seen.append((count, total)))

    assert (done.digest, done.bytes, seen[-1]) == (digest, len(content), (len(content), len(content)))
    subprocess.run(["diff", "-r", "-x", marker.NAME, "-x", "lost+found", "--no-dereference", tree, target], check=True)

    # The digest is looked at on the way, whatever was checked before.
    marker.write(target, marker.Marker(marker.INCOMPLETE, digest))
    with node.open("r+b") as file:
        file.seek((16 << 20) + half // 2)
        file.write(b"damaged")
    with pytest.raises(Fault) as caught:
        restore(CommandRunner(), payload)
    assert caught.value.id == "archive.digest"
    assert "part payload of the lifeboat" in caught.value.what
