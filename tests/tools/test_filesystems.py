# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""File systems as they are made here, on plain files: blkid finds what was wished, GRUB reads them."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.probe import Signature, probe
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedFileSystem
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner
from ansible_collections.dualroot.migrate.plugins.module_utils.volumes.filesystems import make_argv

UUID = "0d303af3-9618-5273-844d-fd706f48db90"


def make(path, kind, label, uuid=UUID, size=400 << 20):
    with path.open("wb") as stream:
        stream.truncate(size)
    system = ResolvedFileSystem("x", kind, label, uuid, "", "defaults", "convert")
    CommandRunner().run(make_argv(system, str(path)))
    return probe(CommandRunner(), str(path))


@pytest.mark.parametrize(
    ("kind", "label", "uuid", "found_kind"),
    [
        ("ext4", "sixteen-letters!", UUID, "ext4"),
        ("xfs", "twelve-bytes", UUID, "xfs"),
        ("vfat", "ELEVENBYTES", "ABCD-1234", "vfat"),
        ("swap", "fifteen-letters", UUID, "swap"),
        ("ext4", "", UUID, "ext4"),
    ],
)
def test_blkid_finds_what_was_wished(tmp_path, kind, label, uuid, found_kind):
    found = make(tmp_path / "image", kind, label, uuid)
    assert (found.kind, found.label, found.uuid) == (found_kind, label, uuid)


def test_nothing_is_found_on_zeros(tmp_path):
    (tmp_path / "image").write_bytes(bytes(1 << 20))
    assert probe(CommandRunner(), str(tmp_path / "image")) == Signature()


def test_labels_with_blanks_come_back(tmp_path):
    assert make(tmp_path / "image", "ext4", "my label").label == "my label"


@pytest.mark.skipif(not shutil.which("grub-fstest"), reason="grub-common is not installed")
@pytest.mark.parametrize("kind", ["ext4", "xfs", "vfat"])
def test_grub_reads_it(tmp_path, kind):
    """GRUB 2.06 as released stops at metadata_csum_seed (ext4) and at nrext64 (xfs)."""
    path = tmp_path / "image"
    make(path, kind, "GRUB", "ABCD-1234" if kind == "vfat" else UUID)
    done = subprocess.run(["grub-fstest", path, "ls", "--", "-l"], capture_output=True, text=True, check=True)
    assert "Label `GRUB'" in done.stdout
    subprocess.run(["grub-fstest", path, "ls", "(loop0)/"], capture_output=True, check=True)


def test_ext4_has_no_feature_that_old_tools_refuse(tmp_path):
    make(tmp_path / "image", "ext4", "x")
    text = CommandRunner().run(["dumpe2fs", "-h", str(tmp_path / "image")]).text
    features = next(line for line in text.splitlines() if line.startswith("Filesystem features")).split()
    assert not {"metadata_csum_seed", "orphan_file", "casefold", "verity"} & set(features)
    assert {"has_journal", "extent", "64bit", "metadata_csum"} <= set(features)
