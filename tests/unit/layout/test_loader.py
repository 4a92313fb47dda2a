# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A layout document is read whole: every error is named at once, with its path."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout import loader
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import Size

from tests.support import layouts


def problems_of(document) -> list[str]:
    return [str(problem) for problem in loader.read(document)[1]]


@pytest.mark.parametrize("name", ["va", "dual"])
def test_shipped_layouts_have_no_problem(name):
    layout = loader.load(layouts.document(name))
    assert layout.name == name
    assert layout.dispatch == "dispatch"
    assert set(layout.slots) == {"a", "b"}


def test_every_shipped_layout_is_tested():
    assert {path.stem for path in layouts.LAYOUTS.glob("*.yml")} == {"va", "dual"}


def test_moments_are_inherited():
    layout = loader.load(layouts.document("va"))
    assert [part.at for part in layout.partitions] == ["convert", "convert", "convert", "commit"]
    assert [group.at for group in layout.volume_groups] == ["convert", "commit"]
    assert {system.on: system.at for system in layout.file_systems}["root_b"] == "commit"


def test_all_errors_at_once_with_their_paths():
    document = layouts.document("va")
    document["partions"] = []
    document["partitions"][1]["size"] = "1G"
    document["partitions"][2]["type"] = "lvn"
    document["volume_groups"][0]["partitions"] = ["vaa"]
    document["volume_groups"][0]["volumes"][1]["sise"] = "1 MiB"
    document["file_systems"][2]["on"] = "imag"
    document["file_systems"][0]["label"] = "a label that is too long"
    document["slots"]["c"] = {"root": "root_b"}
    with pytest.raises(Fault) as raised:
        loader.load(document)
    assert raised.value.id == "layout.invalid"
    text = raised.value.what
    for part in (
        ".partions: unknown key (did you mean partitions?)",
        ".partitions[1].size: not a size: '1G' (write for example 512 MiB, 40% or rest)",
        ".partitions[2].type: 'lvn' is none of",
        "(did you mean lvm?)",
        ".volume_groups[0].partitions[0]: there is no partition 'vaa' (did you mean va?)",
        ".volume_groups[0].volumes[1].sise: unknown key (did you mean size?)",
        ".file_systems[2].on: there is no partition or volume 'imag' (did you mean image?)",
        ".file_systems[0].label: 'a label that is too long' is longer than the 16 bytes of ext4",
        ".slots.c: unknown slot; slots are a and b",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d.pop("name"), ".name: is missing"),
        (lambda d: d.update(version=2), ".version: 2 is not known here; this collection reads version 1"),
        (lambda d: d.update(table="msdos"), ".table: 'msdos' is none of gpt"),
        (lambda d: d.update(partitions={}), ".partitions: a list is needed, not a mapping"),
        (lambda d: d["partitions"].append("x"), ".partitions[4]: a mapping is needed, not a text"),
        (
            lambda d: d["partitions"][1].update(id="va"),
            ".partitions[2].id: id 'va' is already at .partitions[1].id",
        ),
        (
            lambda d: d["partitions"][1].update(size="rest"),
            ".partitions[3].size: only one size can be the rest; .partitions[1] has it",
        ),
        (
            lambda d: d["partitions"][1].update(size="120%"),
            ".partitions[1].size: 120% is not between 0% and 100%",
        ),
        (lambda d: d["partitions"][1].update(size=0), ".partitions[1].size: must be more than nothing"),
        (lambda d: d["partitions"][1].update(size=True), ".partitions[1].size: not a size: True"),
        (
            lambda d: d["partitions"][0].update(attributes=["boot"]),
            ".partitions[0].attributes[0]: 'boot' is none of",
        ),
        (lambda d: d["partitions"][0].update(name="n" * 37), ".partitions[0].name: is longer than the 36"),
        (lambda d: d["partitions"][0].update(type="linux"), ".partitions: no firmware can boot this"),
        (
            lambda d: d["partitions"][1].update(at="commit"),
            ".partitions[2].at: what is made at convert cannot",
        ),
        (
            lambda d: d["volume_groups"][0].update(extent="3 MiB"),
            ".volume_groups[0].extent: must be a power of two",
        ),
        (
            lambda d: d["volume_groups"][0].update(name="-x"),
            ".volume_groups[0].name: '-x' is no name that LVM",
        ),
        (
            lambda d: d["volume_groups"][1].update(at="convert"),
            ".volume_groups[1].partitions[0]: partition 'vb' is",
        ),
        (lambda d: d["volume_groups"].pop(), ".partitions[3]: lvm partition 'vb' must be in exactly one"),
        (
            lambda d: d["file_systems"][0].update(kind="xfs"),
            ".dispatch: the boot loader keeps the slot state",
        ),
        (
            lambda d: d["file_systems"][0].update(on="bios"),
            ".file_systems[0].on: partition 'bios' is of a type",
        ),
        (lambda d: d["file_systems"][2].update(mount="/"), ".file_systems[2].mount: only the root of a slot"),
        (
            lambda d: d["file_systems"][2].update(mount="image/"),
            ".file_systems[2].mount: 'image/' is not an abs",
        ),
        (
            lambda d: d["file_systems"][2].update(mount="/data"),
            ".file_systems[3].mount: mount point '/data' is",
        ),
        (
            lambda d: d["file_systems"][2].update(options="ro, nodev"),
            ".file_systems[2].options: options are sep",
        ),
        (lambda d: d["slots"].pop("a"), ".slots: slot a is missing"),
        (lambda d: d["slots"]["a"].update(root="root_b"), ".slots.a.root: slot a must exist at convert"),
        (lambda d: d["slots"]["a"].update(root="dispatch"), ".slots.a.root: there is no volume 'dispatch'"),
        (lambda d: d.update(dispatch="boot"), ".dispatch: there is no partition 'boot'"),
        (lambda d: d.update(dispatch=""), ".dispatch: a dispatch partition is needed"),
        (lambda d: d["file_systems"][1].pop("mount"), ".file_systems[1].mount: the root of a slot is mounted at /"),
        (lambda d: d["file_systems"][2].update(mount="/boot"), ".file_systems[2].mount: /boot must lie in the root"),
        (lambda d: d["file_systems"][2].update(mount="/my data"), ".file_systems[2].mount: '/my data' has a blank"),
    ],
)
def test_each_error_has_its_path(change, problem):
    document = layouts.document("va")
    change(document)
    assert any(one.startswith(problem) for one in problems_of(document)), problems_of(document)


@pytest.mark.parametrize("document", [None, [], "text", 5])
def test_no_mapping_at_all(document):
    assert problems_of(document)[0].startswith(".: a mapping is needed")


def test_a_bare_on_of_yaml_is_understood():
    text = (layouts.LAYOUTS / "va.yml").read_text().replace('"on":', "on:")
    document = yaml.safe_load(text)
    assert True in document["file_systems"][0]
    assert loader.load(document) == loader.load(layouts.document("va"))
    assert loader.load(json.loads(json.dumps(document))) == loader.load(layouts.document("va"))


def test_sizes_and_types_in_all_forms():
    document = layouts.document("va")
    document["partitions"][0]["size"] = str(2 << 20)
    document["partitions"][1].update(
        type="0fc63daf-8483-4772-8e79-3d69d8477de4", size=1 << 30, attributes=["legacy_boot", 60]
    )
    document["partitions"][2]["size"] = "33.33 %"
    layout = loader.load(document)
    assert layout.partitions[0].size == Size("fixed", 2 << 20)
    assert layout.partitions[1].size == Size("fixed", 1 << 30)
    assert layout.partitions[1].attributes == (2, 60)
    assert layout.partitions[1].type_guid == "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
    assert layout.partitions[2].size == Size("percent", 3333)


def test_version_and_size_may_be_left_out():
    document = layouts.document("va")
    plain = loader.load(document)
    del document["version"]
    for one in (*document["partitions"], *(v for g in document["volume_groups"] for v in g["volumes"])):
        if one["size"] == "rest":
            del one["size"]
    assert loader.load(document) == plain
