# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The firmware of a UEFI host, and the EFI system partition that is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...faults import firmware as kinds
from ...units import MIB, format_size
from ..context import Context
from ..finding import Finding, find

#: The loader twice, copies of the former loaders, and what is written beside before it counts.
ESP_NEEDED = 16 * MIB
#: An entry takes some 200 bytes, and Linux refuses to go below 5 KiB (EFI_MIN_RESERVE in the kernel's efi.h).
VARIABLES_NEEDED = 8 << 10
#: Two entry arrays of a GPT, which take turns, lie before the first partition; by bytes of a sector.
FIRST_SECTOR = {512: 66, 4096: 10}


def check(context: Context) -> Iterator[Finding]:
    """Check what a UEFI host is started by; nothing on a BIOS host."""
    facts = context.facts
    if facts.get("secure_boot"):
        yield find(kinds.SECURE_BOOT)
    if facts.get("firmware") != "uefi":
        return
    yield from _firmware(facts.get("efi") or {})
    esp = facts.get("esp")
    if not esp:
        yield find(kinds.ESP_MISSING)
    else:
        yield from _partition(context, esp)


def _firmware(efi: Mapping[str, Any]) -> Iterator[Finding]:
    bits, free = efi.get("bits", 64), efi.get("free_bytes")
    if bits != 64:
        yield find(kinds.FIRMWARE_32, bits=bits)
    if not efi.get("variables"):
        yield find(kinds.VARIABLES)
    elif free is not None and free < VARIABLES_NEEDED:
        yield find(kinds.VARIABLES_FULL, free=format_size(free))


def _partition(context: Context, esp: Mapping[str, Any]) -> Iterator[Finding]:
    node, disk = esp["node"], context.system_disk
    if disk is not None and esp["disk"] != disk["name"]:
        yield find(kinds.ESP_ELSEWHERE, node=node, disk=esp["disk"], system=disk["name"])
        return
    if esp["table"] != "gpt":
        yield find(kinds.ESP_NOT_GPT, node=node, table=esp["table"])
    if esp["fstype"] != "vfat":
        yield find(kinds.ESP_NOT_FAT, node=node, fstype=esp["fstype"] or "nothing that is known")
    elif (esp["free_bytes"] or 0) < ESP_NEEDED:
        yield find(kinds.ESP_SPACE, node=node, free=format_size(esp["free_bytes"] or 0), needed=format_size(ESP_NEEDED))
    sector = int((disk or {}).get("logical_sector_bytes") or 512)
    start, first = int(esp["start"]) // sector, FIRST_SECTOR.get(sector, 0)
    if start < first:
        yield find(kinds.ESP_PLACE, node=node, start=start, first=first)
