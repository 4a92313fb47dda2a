# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which kernel modules the convert environment carries, and which devices they drive.

Files read are those of depmod(8): modules.dep, modules.softdep, modules.alias, and the kernel's
modules.builtin.modinfo (Documentation/kbuild/kbuild.rst).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..faults import bundle as kinds
from ..faults.fault import Fault

_SUFFIX = re.compile(r"\.ko(\.(xz|zst|gz))?$")
_SOFT = re.compile(r"softdep (\S+) (.*)")


def release_of(tree: Path) -> str:
    """Return the release of the only kernel in the tree; raises ``bundle.kernel_unclear``."""
    folder = tree / "usr/lib/modules"
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if len(found) != 1:
        raise Fault(kinds.RELEASES_MANY, tree=tree, count=len(found), found=", ".join(found) or "none")
    return found[0]


def module_name(path: str) -> str:
    """Return the kernel's name of a module file: ``dm-mod.ko.xz`` is ``dm_mod``."""
    return _SUFFIX.sub("", path.rsplit("/", 1)[-1]).replace("-", "_")


def choose(dependencies: str, soft: str, wanted: Sequence[str], without: Sequence[str]) -> list[str]:
    """Return the sorted module files to keep, with all that they depend on.

    ``dependencies`` and ``soft`` are the texts of modules.dep and modules.softdep; ``wanted`` and
    ``without`` are patterns of file names below the release's folder without suffix, as
    ``kernel/drivers/ata/*``. What is needed by something wanted stays even when ``without`` names it.
    """
    needs = {
        file.strip(): rest.split()
        for file, _colon, rest in (line.partition(":") for line in dependencies.splitlines())
        if file.strip()
    }
    by_name = {module_name(file): file for file in needs}
    soft_needs: dict[str, list[str]] = {}
    for match in filter(None, map(_SOFT.match, soft.splitlines())):
        names = [word for word in match.group(2).split() if not word.endswith(":")]
        soft_needs.setdefault(match.group(1).replace("-", "_"), []).extend(names)
    kept: set[str] = set()
    waiting = [file for file in needs if _matches(file, wanted) and not _matches(file, without)]
    while waiting:
        file = waiting.pop()
        if file in kept:
            continue
        kept.add(file)
        waiting.extend(needs.get(file, ()))
        wished = (name.replace("-", "_") for name in soft_needs.get(module_name(file), ()))
        waiting.extend(by_name[name] for name in wished if name in by_name)
    return sorted(kept)


def alias_patterns(alias_text: str, modinfo: bytes, builtin: str) -> list[str]:
    """Return what the kept modules and the kernel itself drive, sorted.

    That is the device patterns of modules.alias and modules.builtin.modinfo, and ``builtin:NAME`` for every
    driver of modules.builtin: before Linux 6.17 the kernel does not list the devices of those.
    """
    found = {line.split()[1] for line in alias_text.splitlines() if line.startswith("alias ")}
    for record in modinfo.split(b"\0"):
        name, _equals, value = record.decode("utf-8", "replace").partition("=")
        if name.endswith(".alias"):
            found.add(value)
    found = {pattern for pattern in found if ":" in pattern}
    return sorted(found | {f"builtin:{module_name(line)}" for line in builtin.split()})


def _matches(file: str, patterns: Iterable[str]) -> bool:
    bare = _SUFFIX.sub("", file)
    return any(fnmatch.fnmatchcase(bare, pattern) for pattern in patterns)
