# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the convert kernel can drive the system disk and the network interfaces.

A device names itself by its modalias; a kernel lists the patterns that its modules answer to
(modules.alias, depmod.d(5)), matched as fnmatch(3) does. Built-in drivers have no patterns before Linux
6.17 (modules.builtin.modinfo holds no device tables), so they are listed as ``builtin:NAME`` and
compared with the name of the driver that the device has now.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from ...faults import preflight as kinds
from ..context import Context
from ..finding import Finding, find

_BUILTIN = "builtin:"
_LITERAL = re.compile(r"[^*?\[]*")
_KINDS = {"disk": kinds.DISK_DRIVER, "nic": kinds.NIC_DRIVER, "bus": kinds.BUS_DRIVER}


class AliasTable:
    """Patterns by bus (the word before the first colon), so that few are tried for one device."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._by_bus: dict[str, list[tuple[str, str]]] = {}
        self.builtin = {one[len(_BUILTIN) :] for one in patterns if one.startswith(_BUILTIN)}
        for pattern in patterns:
            literal = _LITERAL.match(pattern)
            prefix = literal.group(0) if literal else ""
            self._by_bus.setdefault(pattern.split(":", 1)[0], []).append((prefix, pattern))

    def __bool__(self) -> bool:
        return bool(self._by_bus)

    def drives(self, modalias: str, driver: str) -> bool:
        """Tell whether the kernel has a driver for this device."""
        return driver.replace("-", "_") in self.builtin or self._matches(modalias)

    def _matches(self, modalias: str) -> bool:
        bus = modalias.split(":", 1)[0]
        return any(
            modalias.startswith(prefix) and fnmatchcase(modalias, pattern)
            for prefix, pattern in self._by_bus.get(bus, [])
        )


def check(context: Context) -> Iterator[Finding]:
    """Check each device that has a driver now; one without needs none in stage two either."""
    table = AliasTable(context.modaliases)
    if not table:
        return
    for device in context.facts.get("modaliases") or []:
        modalias, driver = device.get("modalias") or "", device.get("driver") or ""
        if not modalias or not driver or table.drives(modalias, driver):
            continue
        # Without a list of built-in drivers nobody can say that one is missing.
        kind = _KINDS.get(device.get("kind") or "bus", kinds.BUS_DRIVER) if table.builtin else kinds.BUS_DRIVER
        yield find(kind, device=device.get("device"), driver=driver, modalias=modalias)
