# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A disk as a row of areas, before and after; text and SVG are drawn from the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..layout.model import TYPE_GUIDS

#: Gaps smaller than this are alignment and not shown.
SHOWN_GAP = 4 << 20
_TYPE_WORDS = {guid: word for word, guid in TYPE_GUIDS.items()}
_PLAIN = {"bios_boot": "BIOS boot", "esp": "EFI system", "linux": "Linux", "lvm": "LVM", "swap": "swap"}


def before(disk: Mapping[str, Any]) -> dict[str, Any]:
    """Return the picture of a disk from the probe's facts.

    Shape: ``{disk, table, bytes, areas: [{kind, label, detail, start, bytes, inner: [...]}]}``, with
    ``kind`` one of ``boot``, ``system``, ``lvm``, ``swap``, ``other``, ``free``.
    """
    sector = int(disk.get("logical_sector_bytes") or 512)
    areas = []
    for part in sorted(disk.get("partitions") or [], key=lambda one: int(one.get("start_lba") or 0)):
        if str(part.get("type") or "").lower() in ("0x5", "0xf", "5", "f", "05", "0f"):
            continue  # an extended partition only holds the logical ones, which are listed themselves
        mounts = [str(target) for target in part.get("mounts") or []]
        words = [str(part.get("fstype") or "no file system"), *mounts, *map(str, part.get("holders") or [])]
        areas.append(
            {
                "kind": _kind_of(str(part.get("fstype") or ""), mounts),
                "label": str(part["node"]).rsplit("/", 1)[-1],
                "detail": " ".join(words),
                "start": int(part.get("start_lba") or 0) * sector,
                "bytes": int(part.get("sectors") or 0) * sector,
                "inner": [],
            }
        )
    return _picture(str(disk["name"]), str(disk.get("table") or "none"), int(disk["size_bytes"]), areas)


def after(layout: Mapping[str, Any], disk_name: str, lifeboat: Sequence[tuple[int, int]] = ()) -> dict[str, Any]:
    """Return the picture of a resolved layout, with what ``commit`` adds marked as such.

    ``lifeboat`` are the start and length of where the lifeboat may lie until then.
    """
    sector = int(layout["sector_bytes"])
    systems = {system["on"]: system for system in layout["file_systems"]}
    slots = {slot["root"]: _slot_words(name, slot) for name, slot in layout["slots"].items()}
    groups = {pid: group for group in layout["volume_groups"] for pid in group["partitions"]}
    areas = []
    for part in layout["partitions"]:
        group = groups.get(part["id"])
        type_word = _TYPE_WORDS.get(str(part["type_guid"]).upper(), "other")
        areas.append(
            {
                "kind": _resolved_kind(type_word, part["id"] == layout["dispatch"]),
                "label": part["name"] or part["id"],
                "detail": _detail(part, systems, slots, group, type_word),
                "start": int(part["start_lba"]) * sector,
                "bytes": int(part["sectors"]) * sector,
                "inner": [_volume(volume, systems, slots) for volume in (group or {}).get("volumes", [])],
            }
        )
    # Around what is kept of the old system, partitions do not lie in the order of the layout.
    areas.sort(key=lambda area: area["start"])
    picture = _picture(disk_name, str(layout["table"]), int(layout["disk_bytes"]), areas)
    for area in picture["areas"]:
        if any(area["start"] <= start < area["start"] + area["bytes"] for start, _length in lifeboat):
            area["detail"] = f"{area['detail']} (room of the lifeboat until commit)".strip()
        for old in layout.get("until_commit") or []:
            if area["start"] <= int(old["start_lba"]) * sector + SHOWN_GAP < area["start"] + area["bytes"]:
                area["detail"] = f"{area['detail']} (old root until commit)".strip()
    return picture


def _slot_words(name: str, slot: Mapping[str, Any]) -> str:
    mode = (slot.get("overlay") or {}).get("mode", "rw")
    return f"slot {name}" if mode == "rw" else f"slot {name}, {mode}"


def _volume(volume: Mapping[str, Any], systems: Mapping[str, Any], slots: Mapping[str, str]) -> dict[str, Any]:
    return {
        "kind": "system" if volume["id"] in slots else "other",
        "label": volume["name"],
        "detail": _detail(volume, systems, slots, None, ""),
        "bytes": int(volume["bytes"]),
    }


def _detail(
    part: Mapping[str, Any],
    systems: Mapping[str, Any],
    slots: Mapping[str, str],
    group: Mapping[str, Any] | None,
    type_word: str,
) -> str:
    words = [_PLAIN[type_word]] if type_word in ("bios_boot", "esp") else []
    if group is not None:
        words.append(f"volume group {group['name']}")
    system = systems.get(part["id"])
    if system is not None:
        words += [system["kind"], system["mount"]]
    if part["id"] in slots:
        words.append(slots[part["id"]])
    if part.get("at") == "commit":
        words.append("(made by commit)")
    return " ".join(word for word in words if word)


def _kind_of(fstype: str, mounts: list[str]) -> str:
    if "/" in mounts:
        return "system"
    if fstype == "swap":
        return "swap"
    if fstype == "LVM2_member":
        return "lvm"
    if any(target == "/boot" or target.startswith("/boot/") for target in mounts):
        return "boot"
    return "other"


def _resolved_kind(type_word: str, is_dispatch: bool) -> str:
    if is_dispatch or type_word in ("bios_boot", "esp"):
        return "boot"
    return {"lvm": "lvm", "swap": "swap"}.get(type_word, "other")


def _picture(name: str, table: str, size: int, areas: list[dict[str, Any]]) -> dict[str, Any]:
    filled: list[dict[str, Any]] = []
    position = 0
    for area in areas:
        filled += _gap(position, area["start"])
        filled.append(area)
        position = max(position, area["start"] + area["bytes"])
    return {"disk": name, "table": table, "bytes": size, "areas": filled + _gap(position, size)}


def _gap(start: int, end: int) -> list[dict[str, Any]]:
    if end - start < SHOWN_GAP:
        return []
    free = {"kind": "free", "label": "free", "detail": "", "inner": []}
    return [{**free, "start": start, "bytes": end - start}]
