# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Room on the dispatch file system: what is asked for is what stage two writes, and layouts of the project have it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import recovery_files
from ansible_collections.dualroot.migrate.plugins.module_utils.plan.checks import room
from ansible_collections.dualroot.migrate.plugins.module_utils.plan.judge import judge
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two import boot

from tests.support import layouts

from . import documents as docs

MIB = docs.MIB
EXAMPLES = Path(__file__).parents[3] / "docs/layouts"
SIZES = {"kernel": 3000, "initrd": 7000}


class Install:
    """The phase ``boot`` as far as kernel and initramfs go; ``most`` are the bytes that were there at one time."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, lifeboat: bool) -> None:
        self.dispatch, self.payload, self.most = folder / "dispatch", folder / "payload", 0
        for path in (self.dispatch, self.payload, folder / "host"):
            path.mkdir()
        if not lifeboat:
            for name, size in zip(("vmlinuz", "initrd.img"), SIZES.values()):
                (self.payload / name).write_bytes(bytes(size))
        monkeypatch.setattr(recovery_files, "shutil", SimpleNamespace(copyfile=self._copy))
        self.work: Any = SimpleNamespace(
            lifeboat=SimpleNamespace(part=lambda name: SIZES[name]) if lifeboat else None,
            dispatch=self.dispatch,
            node="/dev/vda",
            plan={},
            resolved=None,
            status=SimpleNamespace(progress=None),
            machine=SimpleNamespace(
                runner=None,
                places=SimpleNamespace(payload=self.payload, new=folder / "new", configuration=folder / "host"),
            ),
            parts=SimpleNamespace(copy_part=self._copy_part, install_boot=self._install),
        )

    def run(self) -> int:
        boot.install(self.work)
        return self.most

    def _look(self) -> None:
        self.most = max(self.most, sum(path.stat().st_size for path in self.dispatch.rglob("*") if path.is_file()))

    def _copy(self, source: Path, target: Path) -> None:
        shutil.copyfile(source, target)
        self._look()

    def _copy_part(self, node: str, size: int, target: Path, progress: Any) -> None:
        target.write_bytes(bytes(size))
        self._look()

    def _install(self, runner: Any, layout: Any, node: str, dispatch: Path, new: Path, *rest: Any) -> None:
        recovery_files.install(dispatch, *rest)


@pytest.mark.parametrize("lifeboat", [False, True])
def test_what_is_asked_for_is_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lifeboat: bool) -> None:
    manifest = docs.manifest()
    for part, size in SIZES.items():
        manifest["environment"][part]["size"] = size
    install = Install(tmp_path, monkeypatch, lifeboat=lifeboat)
    once = install.run()
    again = install.run()
    asked = room.dispatch_bytes(manifest, lifeboat=lifeboat) - room.DISPATCH_SMALL_BYTES
    assert once < again
    # The host's part, empty here, lies there beside them.
    assert again - asked == (install.dispatch / "recovery/host.cpio").stat().st_size


def _judged(dispatch: str, **wishes: Any) -> dict[str, Any]:
    layout = docs.layout()
    layout["partitions"][1]["size"] = dispatch
    options = docs.options(**wishes)
    return judge(
        docs.facts(), docs.manifest(), layout, options, capture=docs.capture(), modaliases=list(docs.MODALIASES)
    )


@pytest.mark.parametrize(
    ("lifeboat", "least", "missing"), [("none", 147, "116 MiB; 614 KiB"), ("required", 212, "174 MiB; 102 KiB")]
)
def test_a_lifeboat_takes_more_and_the_finding_says_how_much(lifeboat: str, least: int, missing: str) -> None:
    small = _judged(f"{least - 1} MiB", lifeboat=lifeboat)
    assert (small["verdict"], small["plan"]) == ("refuse", None)
    found = next(one for one in small["findings"] if one["severity"] == "refuse")
    assert found["id"] == "preflight.dispatch_too_small"
    assert f"stage two needs {missing} are missing" in found["what"]
    assert f"at least {least} MiB;" in found["how"] and "partition dispatch " in found["how"]
    assert _judged(f"{least} MiB", lifeboat=lifeboat)["verdict"] == "proceed"


def test_a_rehearsal_says_it_too() -> None:
    assert _judged("128 MiB", mode="rehearse")["verdict"] == "refuse"


@pytest.mark.parametrize("size", range(1, 1025, 7))
def test_the_size_that_is_named_has_the_room(size: int) -> None:
    assert room.ext4_room(room.ext4_size(size * MIB)) >= size * MIB
    assert room.ext4_room(room.ext4_size(size * MIB) - 2 * MIB) < size * MIB


def test_a_partition_of_nothing_has_no_room() -> None:
    assert room.ext4_room(4 * MIB) == 0


@pytest.mark.parametrize("path", [*layouts.LAYOUTS.glob("*.yml"), *EXAMPLES.glob("*.yml")], ids=lambda path: path.stem)
def test_shipped_layouts_and_examples_have_room(path: Path) -> None:
    facts = docs.facts()
    facts["disks"][0]["size_bytes"] = 64 << 30
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    judged = judge(facts, docs.manifest(), document, docs.options(lifeboat="auto"), capture=docs.capture())
    assert judged["picture"]["after"], "the layout fits on the disk"
    assert "preflight.dispatch_too_small" not in [one["id"] for one in judged["findings"]]
