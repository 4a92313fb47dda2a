# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Roots below an overlay: read, resolved, judged, and told apart on a running host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout import loader
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.diff import diff
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedLayout
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.observed import Observed
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.overlay import DATA, LOWER, UPPER, Overlay
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.resolve import DiskGeometry, resolve
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import picture
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two import fstab

from tests.support import layouts

from .test_diff import observe

EXAMPLE = Path(__file__).parents[3] / "docs/layouts/overlay.yml"


def overlay_layout() -> ResolvedLayout:
    document = yaml.safe_load(EXAMPLE.read_text())
    return resolve(loader.load(document), DiskGeometry(16 << 30), "run")


def problems_of(root: Any) -> list[str]:
    document = layouts.document("va")
    document["slots"]["a"]["root"] = root
    return [str(problem) for problem in loader.read(document)[1]]


def test_the_example_resolves_to_both_modes() -> None:
    layout = overlay_layout()
    assert layout.slots["a"].root == "root_a"
    assert layout.slots["a"].overlay == Overlay("overlay-tmpfs", "data", "50%", ("/etc", "/var/log"))
    assert layout.slots["b"].overlay == Overlay("overlay-data", "data")
    assert ResolvedLayout.from_document(layout.to_document()) == layout


def test_a_plain_text_and_a_mode_of_rw_are_the_same() -> None:
    document = layouts.document("va")
    plain = loader.load(document)
    document["slots"]["a"]["root"] = {"volume": "root_a", "mode": "rw"}
    assert loader.load(document) == plain
    assert plain.overlays == {}


def test_an_earlier_plan_has_no_overlay() -> None:
    document = layouts.resolved("va").to_document()
    for slot in document["slots"].values():
        del slot["overlay"]
    assert ResolvedLayout.from_document(document) == layouts.resolved("va")


def test_data_are_found_by_their_mount_point() -> None:
    assert problems_of({"volume": "root_a", "mode": "overlay-data"}) == []


@pytest.mark.parametrize(("given", "wanted"), [("25 %", "25%"), ("512 MiB", "536870912"), (4096, "4096")])
def test_memory(given: Any, wanted: str) -> None:
    document = layouts.document("va")
    document["slots"]["a"]["root"] = {"volume": "root_a", "mode": "overlay-tmpfs", "memory": given}
    assert loader.load(document).overlays["a"].memory == wanted


TMPFS = {"volume": "root_a", "mode": "overlay-tmpfs"}
WRONG = {
    ".slots.a.root.volume: is missing": {"mode": "overlay-data"},
    ".slots.a.root.mode: 'overlay-tmp' is none of rw, overlay-tmpfs, overlay-data (did you mean overlay-tmpfs?)": {
        "volume": "root_a",
        "mode": "overlay-tmp",
    },
    ".slots.a.root.persist: the root is written to: nothing lies beside it": {"volume": "root_a", "persist": ["/etc"]},
    ".slots.a.root.persist: everything persists already, on the data volume": {
        "volume": "root_a",
        "mode": "overlay-data",
        "persist": ["/etc"],
    },
    ".slots.a.root.data: nothing persists; name what does under persist": {**TMPFS, "data": "data"},
    ".slots.a.root.data: 'root_b' must hold": {"volume": "root_a", "mode": "overlay-data", "data": "root_b"},
    ".slots.a.root.data: 'nowhere' must hold": {"volume": "root_a", "mode": "overlay-data", "data": "nowhere"},
    ".slots.a.root.data: 'dispatch' must hold": {"volume": "root_a", "mode": "overlay-data", "data": "dispatch"},
    ".slots.a.root.memory: not a part of the memory: '101%'": {**TMPFS, "memory": "101%"},
    ".slots.a.root.memory: not a part of the memory: 'much'": {**TMPFS, "memory": "much"},
    ".slots.a.root.memory: not a part of the memory: True": {**TMPFS, "memory": True},
    ".slots.a.root.persist[0]: an absolute path": {**TMPFS, "persist": ["/var/'x'"]},
    ".slots.a.root.persist[0]: /boot cannot persist": {**TMPFS, "persist": ["/boot"]},
    ".slots.a.root.persist[1]: /var/log and /var lie in one another": {**TMPFS, "persist": ["/var", "/var/log"]},
    ".slots.a.root.persist[0]: /data is a file system of its own": {**TMPFS, "persist": ["/data/app"]},
}


@pytest.mark.parametrize("problem", WRONG)
def test_what_is_wrong_is_named_with_its_path(problem: str) -> None:
    found = problems_of(WRONG[problem])
    assert [one for one in found if one.startswith(problem)], found


def test_usr_must_lie_in_the_root() -> None:
    document = layouts.document("va")
    document["file_systems"][2]["mount"] = "/usr"
    document["slots"]["a"]["root"] = TMPFS
    problems = [str(one) for one in loader.read(document)[1]]
    assert problems == [".slots.a.root: with an overlay, /usr must lie in the root of the slot"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mode", "ro"),
        ("memory", "much"),
        ("persist", ["/etc;reboot"]),
        ("persist", ["/proc"]),
        ("data", "root_b"),
        ("data", ""),
    ],
)
def test_a_plan_with_a_wrong_overlay_is_refused(key: str, value: Any) -> None:
    document = overlay_layout().to_document()
    document["slots"]["a"]["overlay"][key] = value
    with pytest.raises(Fault) as raised:
        ResolvedLayout.from_document(document)
    assert f".slots.a.overlay.{key}" in raised.value.what


def running(layout: ResolvedLayout, slot: str, overlays: dict[str, str]) -> Observed:
    """Return what the host shows that runs a slot below an overlay."""
    seen = observe(layout, "commit")
    root = layout.device("/dev/vda", layout.slots[slot].root)
    systems = tuple(replace(one, mounts=(LOWER,)) if one.device == root else one for one in seen.file_systems)
    return replace(seen, file_systems=systems, overlays=overlays)


def test_no_difference_on_the_host() -> None:
    layout = overlay_layout()
    persisted = {one: f"{DATA}/.dualroot/root/a/run/persist{one}/upper" for one in ("/etc", "/var/log")}
    tmpfs = running(layout, "a", {"/": f"{UPPER}/root/upper", **persisted})
    assert diff(layout, tmpfs, "commit", slot="a") == []
    data = running(layout, "b", {"/": f"{DATA}/.dualroot/root/b/run/root/upper"})
    assert diff(layout, data, "commit", slot="b") == []


def test_a_host_that_forgets_differs() -> None:
    layout = overlay_layout()
    forgets = running(layout, "b", {"/": f"{UPPER}/root/upper"})
    assert [str(one) for one in diff(layout, forgets, "commit", slot="b")] == [
        ".slots[b].overlay[/]: wanted overlay-data, found overlay-tmpfs"
    ]
    plain = running(layout, "a", {"/": f"{UPPER}/root/upper"})
    assert [one.path for one in diff(layout, plain, "commit", slot="a")] == [
        ".slots[a].overlay[/etc]",
        ".slots[a].overlay[/var/log]",
    ]


def test_a_root_that_is_written_to_differs_from_an_overlay() -> None:
    layout = overlay_layout()
    found = [str(one) for one in diff(layout, observe(layout, "commit"), "commit", slot="a")]
    assert f".file_systems[root_a].mount: wanted {LOWER}, found ['/']" in found
    assert ".slots[a].overlay[/]: wanted overlay-tmpfs, found rw" in found


def test_an_overlay_that_nobody_wanted_differs() -> None:
    layout = layouts.resolved("va")
    seen = replace(observe(layout, "commit"), overlays={"/": "/cow/upper", "/var/lib/containers/x": "/y"})
    assert [str(one) for one in diff(layout, seen, "commit", slot="a")] == [
        ".slots[a].overlay[/]: wanted rw, found overlay of /cow/upper"
    ]


def test_fstab_leaves_the_root_and_the_check_of_the_data_to_the_initramfs() -> None:
    layout = overlay_layout()
    uuid = {system.on: system.uuid for system in layout.file_systems}
    assert fstab.render(layout, "b", "commit").splitlines()[1:] == [
        f"UUID={uuid['dispatch']} /boot/dispatch ext4 ro,nosuid,nodev,noexec,nofail 0 2",
        f"UUID={uuid['data']} /data ext4 nosuid,nodev,x-systemd.device-timeout=300s 0 0",
    ]


def test_the_picture_of_the_disk_says_so() -> None:
    areas = picture.after(overlay_layout().to_document(), "vda")["areas"]
    details = [inner["detail"] for area in areas for inner in area["inner"]]
    assert details[0] == "ext4 / slot a, overlay-tmpfs"
    assert details[1].startswith("ext4 / slot b, overlay-data")
