# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machines of the crash tests."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
#: The shipped layouts, made small: the same partitions and volumes, sizes for a disk of 2 GiB.
DISK_BYTES = 2048 * MIB


@dataclass(frozen=True)
class Combo:
    """One kind of machine: what makes a difference to a boot or to the order of writes.

    ``firmware`` is ``bios`` or ``uefi``, ``bus`` ``virtio``, ``sata`` or ``nvme``, ``fstype`` that of the
    old root, ``table`` ``mbr`` or ``gpt``, ``layout`` ``va`` or ``dual``. ``lifeboat`` ``none`` is the
    negative control: a migration that a power cut does lose, so that the classes are seen to differ.
    """

    firmware: str = "bios"
    bus: str = "virtio"
    fstype: str = "ext4"
    table: str = "mbr"
    layout: str = "va"
    sector_bytes: int = 512
    lifeboat: str = "required"

    @property
    def name(self) -> str:
        parts = [self.firmware, self.bus, self.fstype, self.table, self.layout]
        if self.sector_bytes != 512:
            parts.append(str(self.sector_bytes))
        if self.lifeboat == "none":
            parts.append("none")
        return "-".join(parts)


def all_combos() -> tuple[Combo, ...]:
    """Return the combinations of the soak; with UEFI the old table is GPT, and the new layout has an ESP."""
    found = []
    for number, bus in enumerate(("virtio", "sata", "nvme")):
        for offset, (fstype, table) in enumerate((("ext4", "mbr"), ("xfs", "gpt"), ("ext4", "gpt"), ("xfs", "mbr"))):
            # Alternating, so that both layouts meet every bus, file system and table.
            layout = ("va", "dual")[(number + offset) % 2]
            found.append(Combo("bios", bus, fstype, table, layout))
        found += [Combo("uefi", bus, fstype, "gpt", "dual") for fstype in ("ext4", "xfs")]
    # BIOS starts from disks with sectors of 512 bytes only.
    found += [Combo("uefi", bus, "ext4", "gpt", "dual", 4096) for bus in ("virtio", "nvme")]
    return tuple(found)


#: No lifeboat: after the point of no return a power cut loses the host.
CONTROL = Combo(lifeboat="none")


def find(name: str) -> Combo:
    """Return a combination by its name; raises ``KeyError``."""
    return {combo.name: combo for combo in (*all_combos(), CONTROL)}[name]
