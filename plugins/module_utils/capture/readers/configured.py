# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every reader of configuration files returns, before it is compared with the kernel."""

from __future__ import annotations

from dataclasses import dataclass

from ..model import GlobalDns, Interface, Unsupported


@dataclass(frozen=True)
class Configured:
    """Interfaces as the files name them, and where the first line about each is (``origin``).

    ``started`` holds those that are brought up at boot. An interface without a ``mac`` is looked up
    in the kernel by its name. ``dns`` is what the files say for the whole host, if anything.
    """

    source: str
    interfaces: tuple[Interface, ...] = ()
    started: frozenset[str] = frozenset()
    origin: tuple[tuple[str, str], ...] = ()
    unsupported: tuple[Unsupported, ...] = ()
    dns: GlobalDns | None = None

    def where(self, name: str) -> str:
        return dict(self.origin).get(name, self.source)
