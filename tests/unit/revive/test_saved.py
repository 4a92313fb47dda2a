# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The archive and the evidence in the report folder."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.revive import saved
from ansible_collections.dualroot.migrate.plugins.module_utils.snapshot import evidence

from .evidence import lay


def raised(action):
    with pytest.raises(Fault) as caught:
        action()
    return caught.value.id


def test_the_newest_run_with_an_archive_is_taken(tmp_path):
    lay(tmp_path / "20260101T000000Z-1/gw1")
    wanted = lay(tmp_path / "20260201T000000Z-1/gw1")
    (tmp_path / "20260301T000000Z-1/gw1").mkdir(parents=True)
    lay(tmp_path / "20260401T000000Z-1/gw2")
    assert saved.find(tmp_path, "gw1") == wanted


def test_a_named_run_is_taken_or_refused(tmp_path):
    wanted = lay(tmp_path / "r1/gw1")
    lay(tmp_path / "r2/gw1")
    assert saved.find(tmp_path, "gw1", "r1") == wanted
    assert raised(lambda: saved.find(tmp_path, "gw1", "r3")) == "revive.no_archive"
    assert raised(lambda: saved.find(tmp_path / "none", "gw1")) == "revive.no_archive"


def test_what_is_loaded(tmp_path):
    found = saved.load(lay(tmp_path / "r1/gw1"))
    assert (found.run_id, found.compression, found.size) == ("r1", "gzip", 7)
    assert found.sha256 == hashlib.sha256(b"archive").hexdigest()
    assert found.recorded == ""
    assert found.disk["serial"] == "LAB0815-0"


@pytest.mark.parametrize(
    ("text", "recorded"),
    [("A" * 64 + "  root.tar.gz\n", "a" * 64), ("", "unreadable"), ("nonsense\n", "unreadable")],
)
def test_the_digest_that_was_kept(tmp_path, text, recorded):
    folder = lay(tmp_path / "r1/gw1")
    (folder / "root.tar.gz.sha256").write_text(text)
    assert saved.load(folder).recorded == recorded


def test_damaged_evidence_is_a_fault(tmp_path):
    folder = lay(tmp_path / "r1/gw1")
    path = folder / "evidence.tar.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert raised(lambda: saved.load(folder)) == "revive.evidence_damaged"
    path.write_bytes(evidence.pack({"disk.json": b"{"}))
    assert raised(lambda: saved.load(folder)) == "revive.evidence_damaged"
    path.write_bytes(evidence.pack({"disk.json": b'{"partitions": []}'}))
    assert raised(lambda: saved.load(folder)) == "revive.evidence_damaged"
