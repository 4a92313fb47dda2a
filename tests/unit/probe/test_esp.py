# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a UEFI firmware and its partition say: bytes of OVMF and of mkfs.vfat."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import nvram
from ansible_collections.dualroot.migrate.plugins.module_utils.probe import esp, fat, firmware

GUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
PARTUUID = "117fb78b-1752-4435-8183-3190600910b6"
#: As OVMF and Debian's grub-install left them, attributes first.
VARIABLES = {
    "BootCurrent": "060000000100",
    "BootOrder": "07000000010000000800",
    "Boot0001": "07000000010000006200640065006200690061006e00000004012a000100000000080000000000000000100000000000"
    "8bb77f115217354481833190600910b60202040434005c004500460049005c00640065006200690061006e005c0067007200750062"
    "007800360034002e0065006600690000007fff0400",
    "Boot0008": "07000000090100002c00550069004100700070000000"
    "04071400c9bdb87cebf8344faaea3ee4af6516a10406140021aa2c4614760345836e8ab6f46623317fff0400",
}


def write_variables(root: Path) -> None:
    folder = root / nvram.DIRECTORY
    folder.mkdir(parents=True)
    for name, value in VARIABLES.items():
        (folder / f"{name}-{GUID}").write_bytes(bytes.fromhex(value))
    (folder / f"BootOptionSupport-{GUID}").write_bytes(bytes(8))
    (root / "sys/firmware/efi/fw_platform_size").write_text("64\n")


def test_the_firmware_s_entries(tmp_path: Path) -> None:
    write_variables(tmp_path)
    found = firmware.read_firmware(tmp_path)
    assert found["firmware"] == "uefi"
    efi = found["efi"]
    assert (efi["bits"], efi["variables"], efi["boot_current"]) == (64, True, "0001")
    assert efi["boot_order"] == ["0001", "0000", "0008"]
    assert efi["entries"] == [
        {
            "number": "0001",
            "label": "debian",
            "active": True,
            "partuuid": PARTUUID,
            "loader": "\\EFI\\debian\\grubx64.efi",
        },
        {"number": "0008", "label": "UiApp", "active": True, "partuuid": "", "loader": ""},
    ]


def test_a_bios_has_none(tmp_path: Path) -> None:
    assert firmware.read_firmware(tmp_path)["efi"] is None


def test_variables_that_nobody_offers(tmp_path: Path) -> None:
    (tmp_path / "sys/firmware/efi").mkdir(parents=True)
    efi = firmware.read_firmware(tmp_path)["efi"]
    assert (efi["variables"], efi["boot_order"], efi["entries"], efi["boot_current"]) == (False, [], [], "")


@pytest.mark.parametrize("cut", range(0, 130, 7))
def test_damaged_entries_are_left_out(cut: int) -> None:
    whole = bytes.fromhex(VARIABLES["Boot0001"])[4:]
    entry = nvram.parse("0001", whole[:cut])
    assert entry is None or entry.label == "debian"


def part(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "node": f"/dev/vda{number}",
        "number": number,
        "start_lba": 2048 * number,
        "sectors": 4096,
        "type": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
        "uuid": f"00000000-0000-4000-8000-00000000000{number}",
        "fstype": "vfat",
        "fs_uuid": "8FDA-A740",
        "fs_label": "",
        "mounts": [],
        **changes,
    }


def disk(*parts: dict[str, Any], name: str = "/dev/vda") -> dict[str, Any]:
    return {"name": name, "table": "gpt", "logical_sector_bytes": 512, "partitions": list(parts)}


EFI = {"boot_current": "0001", "entries": [{"number": "0001", "partuuid": PARTUUID}]}


def test_the_one_that_started_the_host_counts(tmp_path: Path) -> None:
    disks = [disk(part(1, mounts=["/boot/efi"])), disk(part(2, uuid=PARTUUID), name="/dev/vdb")]
    found = esp.read_esp(disks, EFI, "/dev/vda", tmp_path)
    assert found is not None
    assert (found["node"], found["disk"], found["start"], found["length"]) == (
        "/dev/vda2",
        "/dev/vdb",
        2 << 20,
        2 << 20,
    )


def test_then_the_one_that_is_mounted_then_the_one_on_the_system_disk(tmp_path: Path) -> None:
    disks = [disk(part(1), name="/dev/vdb"), disk(part(2)), disk(part(3, mounts=["/boot/efi"]), name="/dev/vdc")]
    for wanted in ("/dev/vdc", "/dev/vda"):
        found = esp.read_esp(disks, EFI, "/dev/vda", tmp_path)
        assert found is not None and found["disk"] == wanted
        disks = [one for one in disks if one["name"] != wanted]


def test_none_on_a_bios_host_and_where_there_is_none(tmp_path: Path) -> None:
    assert esp.read_esp([disk(part(1))], None, "/dev/vda", tmp_path) is None
    assert esp.read_esp([disk(part(1, type="0x83"))], EFI, "/dev/vda", tmp_path) is None


def boot_sector(sectors: int, per_cluster: int, table: int, *, wide: bool) -> bytes:
    data = bytearray(512)
    reserved, roots = (32, 0) if wide else (4, 512)
    struct.pack_into("<HBHBHH", data, 11, 512, per_cluster, reserved, 2, roots, 0)
    struct.pack_into("<HxxxxxxxxII", data, 22, 0 if wide else table, sectors, table if wide else 0)
    data[510:] = b"\x55\xaa"
    return bytes(data)


@pytest.mark.parametrize(
    ("sectors", "per_cluster", "table", "wide", "entry_bytes"),
    [(1048576, 8, 1024, True, 4), (32768, 1, 128, False, 2)],
)
def test_free_bytes_of_a_fat(
    tmp_path: Path, sectors: int, per_cluster: int, table: int, wide: bool, entry_bytes: int
) -> None:
    sector = boot_sector(sectors, per_cluster, table, wide=wide)
    found = fat.geometry(sector)
    assert found is not None
    image = tmp_path / "fat"
    used = b"\xff" * entry_bytes * 12
    image.write_bytes(sector.ljust(found.table_start, b"\0") + used.ljust(found.table_bytes, b"\0"))
    assert fat.free_bytes(image) == (found.clusters - 10) * per_cluster * 512


def test_free_bytes_of_a_fat12(tmp_path: Path) -> None:
    sector = boot_sector(2048, 1, 6, wide=False)
    found = fat.geometry(sector)
    assert found is not None and found.clusters < 4085
    image = tmp_path / "fat"
    # Entries 0 to 3 are used, entry 4 is not; 12 bits each.
    image.write_bytes(sector.ljust(found.table_start, b"\0") + b"\xff" * 6 + bytes(found.table_bytes - 6))
    assert fat.free_bytes(image) == (found.clusters - 2) * 512


@pytest.mark.parametrize("content", [b"", bytes(512), b"\xff" * 510 + b"\x55\xaa"])
def test_what_is_no_fat(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "none").write_bytes(content)
    assert fat.free_bytes(tmp_path / "none") is None
    assert fat.free_bytes(tmp_path / "missing") is None
