# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One host that may be converted, and every way in which it may not: all findings at once, with remedies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults import preflight as kinds
from ansible_collections.dualroot.migrate.plugins.module_utils.plan.finding import Finding, summary
from ansible_collections.dualroot.migrate.plugins.module_utils.plan.judge import judge

from tests.support import layouts

from . import documents as docs

Change = Callable[[dict[str, Any]], Any]


class Scene:
    """Everything that judge() takes, to be spoiled by a test."""

    def __init__(self) -> None:
        self.facts = docs.facts()
        self.manifest = docs.manifest()
        self.layout = docs.layout()
        self.options = docs.options()
        self.capture = docs.capture()
        self.problems: list[dict[str, str]] = []
        self.modaliases = list(docs.MODALIASES)
        self.bad_addresses: list[dict[str, str]] = []

    @property
    def disk(self) -> dict[str, Any]:
        return self.facts["disks"][0]

    def judge(self) -> dict[str, Any]:
        return judge(
            self.facts,
            self.manifest,
            self.layout,
            self.options,
            capture=self.capture,
            capture_problems=self.problems,
            modaliases=self.modaliases,
            bad_addresses=self.bad_addresses,
        )


def _ids(result: dict[str, Any], severity: str) -> list[str]:
    return [finding["id"] for finding in result["findings"] if finding["severity"] == severity]


def _no_room(wish: str) -> Callable[[Scene], Any]:
    def change(scene: Scene) -> None:
        scene.options["lifeboat"] = wish
        scene.facts["lifeboat_areas"] = []

    return change


def _tight(scene: Scene) -> None:
    scene.options["lifeboat"] = "required"
    scene.facts["lifeboat_areas"][0].update(start=6000 << 20, length=400 << 20)


def _hibernated(scene: Scene) -> None:
    scene.options["lifeboat"] = "required"
    scene.disk["partitions"][0]["sectors"] = 12580864
    scene.disk["partitions"].append(docs.partition(fstype="swsuspend"))


def _clone(scene: Scene, **changes: Any) -> None:
    twin = {
        **docs.data_disk(),
        **changes,
        "partitions": [dict(scene.disk["partitions"][0], node="/dev/vdb1")],
    }
    scene.facts["disks"].append(twin)


def _identical_twin(scene: Scene) -> None:
    for name in ("serial", "wwn", "size_bytes", "table_id"):
        scene.disk[name] = {"size_bytes": scene.disk["size_bytes"]}.get(name, "")
    _clone(scene, size_bytes=scene.disk["size_bytes"], serial="", by_id=[])


def _same_serial(scene: Scene) -> None:
    scene.facts["disks"].append(docs.data_disk(serial="LAB0001"))
    scene.options["disk"] = "LAB0001"


def _other_disk(scene: Scene) -> None:
    scene.facts["disks"].append(docs.data_disk())
    scene.options["disk"] = "virtio-LAB0002"


def _add_partition(**changes: Any) -> Callable[[Scene], None]:
    return lambda scene: scene.disk["partitions"].append(docs.partition(**changes))


def _facts(**changes: Any) -> Callable[[Scene], None]:
    return lambda scene: scene.facts.update(changes)


def _root(**changes: Any) -> Callable[[Scene], None]:
    return lambda scene: scene.facts["root"].update(changes)


def _loader(**changes: Any) -> Callable[[Scene], None]:
    return lambda scene: scene.facts["bootloader"].update(changes)


def _options(**changes: Any) -> Callable[[Scene], None]:
    return lambda scene: scene.options.update(changes)


def _uefi(**changes: Any) -> Callable[[Scene], None]:
    """Make the host one that UEFI starts, and change its ``efi`` or ``esp``; None takes it away."""

    def change(scene: Scene) -> None:
        docs.uefi(scene.facts)
        for name, values in changes.items():
            scene.facts[name] = None if values is None else {**scene.facts[name], **values}

    return change


def _keep_old_in_doubt(scene: Scene) -> None:
    scene.options["keep_old"] = "required"
    scene.facts["old_system"]["doubt"] = "the kernel of the running system is not found in /boot"


REFUSALS: list[tuple[str, Callable[[Scene], Any]]] = [
    ("preflight.not_root", _facts(is_root=False)),
    ("preflight.architecture_unsupported", _facts(architecture="aarch64")),
    ("preflight.bundle_architecture", lambda scene: scene.manifest.update(architecture="aarch64")),
    ("preflight.firmware_32_bit", _uefi(efi={"bits": 32})),
    ("preflight.firmware_variables", _uefi(efi={"variables": False})),
    ("preflight.firmware_variables_full", _uefi(efi={"free_bytes": 4096})),
    ("preflight.esp_missing", _uefi(esp=None)),
    ("preflight.esp_on_other_disk", _uefi(esp={"disk": "/dev/vdb", "node": "/dev/vdb1"})),
    ("preflight.esp_not_gpt", _uefi(esp={"table": "dos"})),
    ("preflight.esp_not_fat", _uefi(esp={"fstype": "ext4"})),
    ("preflight.esp_space", _uefi(esp={"free_bytes": 1 << 20})),
    ("preflight.esp_place", _uefi(esp={"start": 34 * 512})),
    ("layout.no_esp", _uefi()),
    ("preflight.secure_boot", _facts(secure_boot=True)),
    ("preflight.system_disk_doubt", _facts(system_disk=None, system_disk_doubt="/ is on vda and vdb")),
    ("preflight.disk_unknown", _options(disk="WD-123")),
    ("preflight.disk_ambiguous", _same_serial),
    ("preflight.disk_not_system", _other_disk),
    ("preflight.disk_read_only", lambda scene: scene.disk.update(readonly=True)),
    ("preflight.disk_not_identifiable", _identical_twin),
    ("preflight.root_uuid_twice", _clone),
    ("preflight.root_stack_unsupported", _root(stack=["lvm", "part"], device="/dev/mapper/vg-root")),
    ("preflight.root_filesystem_unsupported", _root(fstype="btrfs")),
    (
        "preflight.separate_boot_unsupported",
        lambda scene: scene.facts["boot"].update(mount="/boot", device="/dev/vda2"),
    ),
    ("preflight.other_mount", _add_partition(mounts=["/home"])),
    ("preflight.held_partition", _add_partition(fstype="LVM2_member", holders=["lvm: DATA"])),
    ("preflight.held_partition", _add_partition(fstype="crypto_LUKS")),
    ("preflight.group_name_taken", _facts(volume_groups=[{"name": "VA", "disks": ["/dev/sdb"]}])),
    ("preflight.slot_too_small", lambda scene: scene.manifest["payload"].update(unpacked_bytes=9 << 30)),
    ("preflight.dispatch_too_small", lambda scene: scene.layout["partitions"][1].update(size="128 MiB")),
    ("preflight.memory_too_small", _facts(memory_bytes=256 << 20)),
    ("preflight.staging_space", _root(free_bytes=100 << 20)),
    (
        "preflight.boot_space",
        lambda scene: scene.facts["boot"].update(device="/dev/vda2", free_bytes=10 << 20),
    ),
    (
        "preflight.staging_elsewhere",
        lambda scene: scene.facts["mounts"].append({"target": "/var", "device": "/dev/vdb1", "fstype": "xfs"}),
    ),
    ("preflight.boot_loader_unsupported", _loader(kind="grub-legacy")),
    ("preflight.one_shot_unsupported", _loader(handles_next_entry=False)),
    ("preflight.custom_cfg_not_read", _loader(reads_custom_cfg=False)),
    ("preflight.environment_not_writable", _loader(environment_writable_by_grub=False)),
    ("preflight.reboot_tool_missing", _loader(reboot_tool=None, editenv_tool=None)),
    ("preflight.foreign_next_entry", _loader(next_entry="memtest")),
    ("preflight.disk_driver_missing", lambda scene: scene.modaliases.remove("virtio:d00000002v*")),
    ("preflight.nic_driver_missing", lambda scene: scene.modaliases.remove("virtio:d00000001v*")),
    (
        "preflight.address_invalid",
        lambda scene: scene.bad_addresses.append({"interface": "ens3", "address": "10.0.2.0/24"}),
    ),
    ("preflight.lifeboat_no_room", _no_room("required")),
    ("preflight.keep_old_impossible", _keep_old_in_doubt),
    ("preflight.boot_method_unsupported", _options(boot_method="kexec")),
    ("preflight.snapshot_provider", _options(snapshot="lvm")),
    ("preflight.snapshot_provider", _options(snapshot="command")),
    ("preflight.snapshot_provider", _options(snapshot="zfs")),
    ("layout.invalid", lambda scene: scene.layout["partitions"][0].update(sice="1 MiB")),
    ("layout.disk_too_small", lambda scene: scene.disk.update(size_bytes=1 << 30)),
    (
        "capture.network_unsupported",
        lambda scene: scene.problems.append(
            {
                "id": "capture.network_unsupported",
                "what": "a bond",
                "why": "w",
                "how": "h",
                "severity": "refuse",
            }
        ),
    ),
]

REFUSALS += [
    ("preflight.no_interface", lambda scene: scene.capture["network"]["interfaces"].clear()),
    ("preflight.login_user_missing", _options(login_user="ldap-admin")),
    ("preflight.login_user_without_credentials", _options(login_user="root")),
]

WARNINGS: list[tuple[str, Callable[[Scene], Any]]] = [
    ("preflight.lockdown", _facts(lockdown="integrity")),
    ("preflight.partition_lost", _add_partition(fstype="ntfs")),
    ("preflight.disk_weak_identity", lambda scene: scene.disk.update(serial="", by_id=[])),
    ("preflight.memory_tight", _facts(memory_bytes=578 << 20)),
    (
        "preflight.bus_driver_missing",
        lambda scene: scene.facts["modaliases"].append(
            {"device": "0000:00:1f.0", "kind": "bus", "modalias": "pci:v00008086d*", "driver": "lpc_ich"}
        ),
    ),
    ("preflight.reached_by_other_address", _options(reached_at="192.0.2.1")),
    ("preflight.earlier_run_staged", _loader(next_entry="dualroot-convert")),
    ("preflight.no_lifeboat", lambda scene: None),
    ("preflight.lifeboat_left_out", _no_room("auto")),
    ("preflight.lifeboat_tight", _tight),
    ("preflight.hibernation_image", _hibernated),
    ("preflight.unattended", _options(attended="false")),
    ("preflight.unsigned", _options(signed_by="")),
]


def test_a_host_that_may_be_converted() -> None:
    result = Scene().judge()
    assert result["verdict"] == "proceed"
    assert _ids(result, "refuse") == []
    assert _ids(result, "warn") == ["preflight.no_lifeboat"]
    assert _ids(result, "info") == ["preflight.table_replaced"]
    assert result["plan"]["disk"]["serial"] == "LAB0001"


@pytest.mark.parametrize(("finding_id", "spoil"), REFUSALS, ids=[f"{n}-{one[0]}" for n, one in enumerate(REFUSALS)])
def test_each_refusal_names_its_id_and_a_remedy(finding_id: str, spoil: Callable[[Scene], Any]) -> None:
    scene = Scene()
    spoil(scene)
    result = scene.judge()
    assert result["verdict"] == "refuse"
    assert result["plan"] is None
    finding = next(one for one in result["findings"] if one["id"] == finding_id)
    assert finding["severity"] == "refuse"
    assert finding["phase"] == "preflight"
    assert all(finding[name] for name in ("what", "why", "how"))
    assert "{" not in finding["what"] + finding["why"] + finding["how"]


@pytest.mark.parametrize(("finding_id", "spoil"), WARNINGS, ids=[one[0] for one in WARNINGS])
def test_each_warning_lets_the_host_go_on(finding_id: str, spoil: Callable[[Scene], Any]) -> None:
    scene = Scene()
    spoil(scene)
    result = scene.judge()
    assert finding_id in _ids(result, "warn")
    assert result["verdict"] == "proceed"


def test_every_refusal_of_the_catalogue_is_provoked_here() -> None:
    provoked = {finding_id for finding_id, _spoil in REFUSALS}
    assert {kind.id for kind in kinds.REFUSALS} <= provoked


def test_all_findings_come_at_once() -> None:
    scene = Scene()
    scene.facts.update(memory_bytes=1 << 20, secure_boot=True, firmware="uefi")
    scene.facts["root"]["free_bytes"] = 0
    scene.layout["partitions"][0]["sice"] = 1
    refused = _ids(scene.judge(), "refuse")
    assert refused == [
        "preflight.secure_boot",
        "preflight.firmware_variables",
        "preflight.esp_missing",
        "preflight.memory_too_small",
        "preflight.staging_space",
        "layout.invalid",
    ]


def test_a_uefi_host_keeps_its_esp() -> None:
    scene = Scene()
    docs.uefi(scene.facts)
    scene.layout = layouts.document("dual")
    result = scene.judge()
    assert _ids(result, "refuse") == []
    assert "preflight.partition_lost" not in _ids(result, "warn")
    plan = result["plan"]
    assert plan["firmware"] == "uefi"
    assert plan["esp"] == {
        "start": 1 << 20,
        "length": 512 << 20,
        "partuuid": "117FB78B-1752-4435-8183-3190600910B6",
        "fs_uuid": "8FDA-A740",
    }
    kept = [part for part in plan["layout"]["partitions"] if part["kept"]]
    assert [(part["id"], part["number"], part["start_lba"]) for part in kept] == [("esp", 1, 2048)]


def test_a_bios_host_keeps_none() -> None:
    assert Scene().judge()["plan"]["esp"] is None


def test_an_unknown_disk_is_said_once() -> None:
    scene = Scene()
    scene.options["disk"] = "WD-123"
    assert _ids(scene.judge(), "refuse") == ["preflight.disk_unknown"]


def test_by_how_much_is_said() -> None:
    scene = Scene()
    scene.facts["memory_bytes"] = 516 << 20
    found = [one for one in scene.judge()["findings"] if one["id"] == "preflight.memory_too_small"]
    assert "28 MiB are missing" in found[0]["what"]


def test_an_unknown_key_of_the_layout_is_named_with_its_path() -> None:
    scene = Scene()
    scene.layout["partitions"][1]["sice"] = "1 MiB"
    found = [one for one in scene.judge()["findings"] if one["id"] == "layout.invalid"]
    assert ".partitions[1].sice" in found[0]["what"]


def test_a_disk_that_bios_cannot_start_is_refused() -> None:
    scene = Scene()
    scene.disk["logical_sector_bytes"] = 4096
    assert "boot.sector_size" in _ids(scene.judge(), "refuse")
    scene = Scene()
    scene.layout["partitions"][0]["type"] = "esp"
    assert "boot.no_bios_partition" in _ids(scene.judge(), "refuse")


def test_an_agreed_mount_is_a_warning() -> None:
    scene = Scene()
    scene.disk["partitions"].append(docs.partition(mounts=["/srv"]))
    scene.options["discard"] = ["/srv"]
    result = scene.judge()
    assert result["verdict"] == "proceed"
    assert "preflight.mount_discarded" in _ids(result, "warn")


def test_swap_and_bundled_interpreter_are_notes() -> None:
    scene = Scene()
    scene.disk["partitions"].append(docs.partition(fstype="swap", mounts=["[SWAP]"]))
    scene.facts["python"]["executable"] = "/var/lib/dualroot/interpreter/python3"
    assert _ids(scene.judge(), "info") == [
        "preflight.bundled_interpreter",
        "preflight.table_replaced",
        "preflight.swap_lost",
    ]


def test_a_named_system_disk_settles_the_doubt() -> None:
    scene = Scene()
    scene.facts.update(system_disk=None, system_disk_doubt="two disks look alike")
    scene.options["disk"] = "/dev/disk/by-id/virtio-LAB0001"
    assert scene.judge()["verdict"] == "proceed"


def test_an_archive_on_the_host_needs_room_too() -> None:
    scene = Scene()
    scene.facts["root"].update(size_bytes=8 << 30, free_bytes=1 << 30)
    scene.facts["boot"]["free_bytes"] = 1 << 30
    assert scene.judge()["verdict"] == "proceed"
    scene.options["snapshot"] = "archive"
    assert _ids(scene.judge(), "refuse") == ["preflight.staging_space"]


def test_a_driverless_device_and_an_unknown_list_are_no_findings() -> None:
    scene = Scene()
    scene.facts["modaliases"].append({"device": "x", "kind": "disk", "modalias": "pci:v1", "driver": ""})
    assert scene.judge()["verdict"] == "proceed"
    scene.modaliases = []
    assert scene.judge()["verdict"] == "proceed"


def test_built_in_drivers_are_known_by_name() -> None:
    scene = Scene()
    scene.modaliases.remove("builtin:virtio_pci")
    result = scene.judge()
    assert "preflight.bus_driver_missing" in _ids(result, "warn")
    assert result["verdict"] == "proceed"
    scene.modaliases.append("builtin:ahci")
    assert _ids(scene.judge(), "refuse") == ["preflight.disk_driver_missing"]


def test_all_refusals_are_summed_up_in_one_fault() -> None:
    scene = Scene()
    assert summary([Finding(**one) for one in scene.judge()["findings"]]) is None
    scene.facts.update(secure_boot=True, is_root=False)
    fault = summary([Finding(**one) for one in scene.judge()["findings"]])
    assert fault is not None
    record = fault.record()
    assert record["id"] == "preflight.refused"
    assert record["what"] == "2 finding(s) stand in the way: preflight.not_root, preflight.secure_boot"
    assert "preflight.secure_boot: Switch Secure Boot off" in record["how"]


def test_grubby_stands_in_for_custom_cfg() -> None:
    scene = Scene()
    scene.facts["bootloader"].update(reads_custom_cfg=False, grubby="/usr/sbin/grubby")
    assert scene.judge()["verdict"] == "proceed"
