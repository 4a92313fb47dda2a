# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Partition tables as documents for people: in module results, differences and evidence."""

from __future__ import annotations

from typing import Any

from .gpt import Gpt, GptEntry
from .read import Table
from .table import Change, changed


def describe(table: Table) -> dict[str, Any]:
    """Return ``{table, table_id, partitions, problems}``; LBAs count logical sectors."""
    document: dict[str, Any] = {"table": table.kind, "table_id": table.table_id, "partitions": []}
    if table.gpt:
        document["partitions"] = [_entry(entry) for entry in table.gpt.entries]
    elif table.mbr and table.kind == "dos":
        document["partitions"] = [
            {
                "number": entry.number,
                "start_lba": entry.first_lba,
                "sectors": entry.sectors,
                "type": f"0x{entry.type:02x}",
            }
            for entry in table.mbr.entries
        ]
    document["problems"] = list(table.problems)
    return document


def describe_after(found: Table, change: Change, wanted: Gpt) -> dict[str, Any]:
    """Return what ``describe`` will return after a change."""
    if change.kind == "none":
        return describe(found)
    return {
        "table": "gpt",
        "table_id": wanted.disk_guid.lower(),
        "partitions": [_entry(entry) for entry in changed(found, change, wanted).entries],
        "problems": [],
    }


def _entry(entry: GptEntry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "name": entry.name,
        "type": entry.type_guid,
        "uuid": entry.uuid,
        "start_lba": entry.first_lba,
        "sectors": entry.sectors,
        "attributes": list(entry.attribute_bits),
    }
