# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which Debian mirror the building machine already uses, for other suites too; sources.list(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

DEFAULT = "http://deb.debian.org/debian"
DEFAULT_SECURITY = "http://deb.debian.org/debian-security"
CONFIGURATION = Path("/etc/apt")
_LINE = re.compile(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)(?:\s|$)")


def find(configuration: Path) -> tuple[str, str]:
    """Return the addresses of the Debian archive and of its security archive.

    ``configuration`` is /etc/apt. The archive is the first one that is configured for a suite of Debian
    and whose address ends in ``debian``, as those of all mirrors do; anything else might be another archive.
    """
    archive = security = ""
    for address, suite in entries(configuration):
        end = address.rstrip("/").rsplit("/", 1)[-1]
        if not address.startswith(("http://", "https://")):
            continue
        if suite.endswith("-security") and end == "debian-security":
            security = security or address.rstrip("/")
        elif end == "debian":
            archive = archive or address.rstrip("/")
    return archive or DEFAULT, security or DEFAULT_SECURITY


def addresses(archive: str, security: str) -> tuple[str, str]:
    """Return the addresses of both archives, which may hold a login; empty means that of this machine."""
    found = find(CONFIGURATION)
    return archive or found[0], security or found[1]


def choose(archive: str, security: str, suite: str, firmware: bool = False) -> list[str]:
    """Return the lines of sources.list for ``suite``; empty addresses mean those that this machine uses."""
    components = "main non-free-firmware" if firmware else "main"
    return lines(*addresses(archive, security), suite, components)


def lines(archive: str, security: str, suite: str, components: str = "main") -> list[str]:
    """Return the lines of sources.list for a stable suite with its updates; sid has neither."""
    if suite in ("sid", "unstable"):
        return [f"deb {archive} {suite} {components}"]
    return [
        f"deb {archive} {suite} {components}",
        f"deb {archive} {suite}-updates {components}",
        f"deb {security} {suite}-security {components}",
    ]


def entries(configuration: Path) -> Iterator[tuple[str, str]]:
    """Yield ``(address, suite)`` of every configured binary archive, in apt's own order of files."""
    files = [configuration / "sources.list"]
    folder = configuration / "sources.list.d"
    if folder.is_dir():
        files += sorted(folder.iterdir())
    for path in files:
        if path.suffix == ".list" and path.is_file():
            for match in filter(None, map(_LINE.match, path.read_text().splitlines())):
                yield match.group(1), match.group(2)
        elif path.suffix == ".sources" and path.is_file():
            yield from _stanzas(path.read_text())


def _stanzas(text: str) -> Iterator[tuple[str, str]]:
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", text):
        fields = {
            match.group(1).lower(): match.group(2)
            for match in re.finditer(r"^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        }
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").strip() != "no":
            for address in fields.get("uris", "").split():
                for suite in fields.get("suites", "").split():
                    yield address, suite
