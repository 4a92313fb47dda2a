# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Staging a restore on a running slot: what is put where, in which order, and taken back."""

from __future__ import annotations

import hashlib
import json

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import records, slots
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import stow
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document
from ansible_collections.dualroot.migrate.plugins.module_utils.revive import once, saved, staging
from ansible_collections.dualroot.migrate.plugins.module_utils.revive.judge import judge
from ansible_collections.dualroot.migrate.plugins.module_utils.revive.options import load

from tests.support.fake_runner import FakeRunner

from .evidence import lay
from .test_judge import MANIFEST, OPTIONS, present

CONFIG = '# the dispatcher\nset dr_disk="$root"\n'
MIB = 1 << 20
KERNEL, INITRD = b"kernel", b"initrd" * 10


class Place:
    """A dispatch file system and a staging directory in a scratch folder."""

    def __init__(self, folder):
        self.dispatch, self.stage = folder / "dispatch", folder / "stage"
        (self.dispatch / "grub").mkdir(parents=True)
        self.config.write_text(CONFIG)
        reports = lay(folder / "reports/r1/gw1")
        self.stage.mkdir()
        for path in reports.iterdir():
            (self.stage / path.name).write_bytes(path.read_bytes())
        (self.stage / "vmlinuz").write_bytes(KERNEL)
        (self.stage / "initrd.img").write_bytes(INITRD)
        (self.stage / "capture.json").write_text("{}")
        plan = judge(present(), saved.load(reports), MANIFEST, load(OPTIONS))["plan"]
        described = {
            name: {"file": f"environment/{file}", "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for name, file, data in (("kernel", "vmlinuz", KERNEL), ("initrd", "initrd.img", INITRD))
        }
        self.run_directory = folder / "runs/r2"
        where = {**plan["staging"], "directory": str(self.stage), "run_directory": str(self.run_directory)}
        del plan["digest"]
        self.plan = document.freeze({**plan, "environment": described, "staging": where})

    @property
    def config(self):
        return self.dispatch / "grub/grub.cfg"

    def staging(self, **changes):
        extra = {"proof/manifest.json": b"{}"}
        return staging.Staging(FakeRunner(), {**self.plan, **changes}, "", extra, dispatch=self.dispatch)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(slots, "check_mounted", lambda mount: None)
    monkeypatch.setattr(slots.mounts, "find", lambda path, root=None: None)
    return Place(tmp_path)


def whats(changes):
    return [change.what for change in changes]


def test_everything_is_staged_and_the_one_shot_is_last(place):
    changes = place.staging().apply()
    assert whats(changes) == ["boot kernel", "boot initrd", "entry", "one-shot"]
    # Stage two leaves there why it went back, if it does.
    assert place.run_directory.stat().st_mode & 0o777 == 0o700
    folder = place.dispatch / "restore"
    assert (folder / "vmlinuz").read_bytes() == KERNEL
    assert (folder / "initrd.img").read_bytes() == INITRD
    assert (folder / "host.cpio").stat().st_mode & 0o777 == 0o600
    host = (folder / "host.cpio").read_bytes()
    for name in ("plan.json", "capture.json", "proof/manifest.json", "old/0.bin", "old/2.bin"):
        assert f"etc/dualroot/{name}".encode() in host
    text = place.config.read_text()
    assert text.endswith(CONFIG) and text == once.with_entry(CONFIG, place.plan)
    assert staging.is_armed(place.dispatch)


def test_a_second_time_nothing_is_pending(place):
    place.staging().apply()
    assert place.staging().pending() == []


def test_check_mode_changes_nothing(place):
    place.staging().pending()
    assert not (place.dispatch / "restore").exists()
    assert place.config.read_text() == CONFIG


def test_an_archive_that_was_not_sent(place):
    (place.stage / "root.tar.gz").unlink()
    with pytest.raises(Fault) as caught:
        place.staging().apply()
    assert caught.value.id == "revive.no_archive"
    assert not staging.is_armed(place.dispatch)


def test_evidence_of_another_plan_is_refused_before_anything_is_written(place):
    old = json.loads(json.dumps(place.plan["old"]))
    old["pieces"][0]["sha256"] = "0" * 64
    content = {name: value for name, value in place.plan.items() if name != "digest"}
    place.plan = document.freeze({**content, "old": old})
    with pytest.raises(Fault) as caught:
        place.staging().apply()
    assert caught.value.id == "revive.piece_damaged"
    assert not (place.dispatch / "restore").exists()


def test_disarming_leaves_the_dispatcher_as_it_was(place):
    place.staging().apply()
    runner = FakeRunner()
    dry = staging.disarm(runner, place.dispatch, place.stage, dry=True)
    assert staging.is_armed(place.dispatch)
    assert staging.disarm(runner, place.dispatch, place.stage) == dry
    assert whats(dry) == ["one-shot", "entry", "folder", "folder"]
    assert place.config.read_text() == CONFIG
    assert not (place.dispatch / "restore").exists() and not place.stage.exists()
    assert staging.disarm(runner, place.dispatch, place.stage) == []


def test_slot_b_is_made_again_before_the_staging_directory_goes(place, monkeypatch):
    place.staging().apply()
    records.tell(place.dispatch, "b", "r1", "removed", staging.slot_b.REASON)

    def fail(runner, dispatch):
        # What is secret went first, whatever becomes of the disk.
        assert list(place.stage.iterdir()) == [] and not (place.dispatch / "restore").exists()
        raise OSError("a disk that takes no writes")

    monkeypatch.setattr(staging.slot_b, "make", fail)
    with pytest.raises(OSError):
        staging.disarm(FakeRunner(), place.dispatch, place.stage)
    # By this directory the playbook knows that there is something to take back.
    assert place.stage.is_dir() and not staging.is_armed(place.dispatch)

    made = []
    monkeypatch.setattr(staging.slot_b, "make", lambda runner, dispatch: made.append(dispatch))
    assert whats(staging.disarm(FakeRunner(), place.dispatch, place.stage)) == ["slot", "folder"]
    assert made == [place.dispatch] and not place.stage.exists()


def test_the_lifeboat_lies_in_the_place_of_slot_b(place, tmp_path, monkeypatch):
    """Slot B is given up first; what the host's part describes is what lies on the disk."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    gap = [40 * MIB, 16 * MIB]
    wish = {"wish": "required", "used": True, "needed_bytes": gap[1], "allowed": [gap], "gaps": [gap], "swaps": []}
    content = {name: value for name, value in place.plan.items() if name != "digest"}
    place.plan = document.freeze({**content, "lifeboat": wish})
    done = []
    monkeypatch.setattr(staging.identity, "find", lambda runner, disk, new_disk_guid: str(image))
    monkeypatch.setattr(staging.slot_b, "give_up", lambda runner, node, layout, run_id, dispatch: done.append(run_id))

    def ground_of(runner, plan, folder):
        assert done == ["r2"]
        return stow.Ground(str(image), None, tmp_path / "lifeboat", (Extent(*gap),), ())

    monkeypatch.setattr(staging.berth, "ground_of", ground_of)
    assert "lifeboat" in whats(place.staging().apply())
    lifeboat = staging.berth.read_document(place.stage)
    assert (lifeboat.run_id, lifeboat.plan_digest) == ("r2", place.plan["digest"])
    for name, wanted in (("kernel", KERNEL), ("initrd", INITRD), ("payload", b"archive")):
        start = lifeboat.part(name).extents[0].start
        assert image.read_bytes()[start : start + len(wanted)] == wanted
    host = (place.dispatch / "restore/host.cpio").read_bytes()
    start = lifeboat.part("host").extents[0].start
    assert image.read_bytes()[start : start + len(host)] == host
    assert b"etc/dualroot/lifeboat.json" in host
    assert place.staging().pending() == []


def test_the_kernel_line(place):
    assert once.arguments(place.plan) == (
        "dualroot.mode=restore",
        "dualroot.run=r2",
        "dualroot.limit=4200",
        "gpt",
        "panic=30",
        "console=ttyS0",
    )


def test_the_entry_replaces_an_earlier_one(place):
    first = once.with_entry(CONFIG, place.plan)
    assert once.with_entry(first, {**place.plan, "run_id": "r3"}).count("BEGIN restore") == 1
    assert once.without_entry(first) == CONFIG
    assert once.without_entry(CONFIG) == CONFIG


def test_the_one_shot_is_struck_out_before_the_kernel_is_loaded(place):
    text = once.with_entry(CONFIG, place.plan)
    assert text.index("save_env") < text.index("linux ") < text.index("reboot") < text.index("the dispatcher")
    assert "serial --unit=0" in text


def test_the_environment_block_fits_its_sector():
    block = once.environment(once.ARMED)
    assert len(block) == 1024 and once.is_armed(block)
    assert not once.is_armed(once.environment(""))
