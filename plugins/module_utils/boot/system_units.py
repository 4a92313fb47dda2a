# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scripts and units of systemd that a slot carries, put there without running anything of the slot."""

from __future__ import annotations

from pathlib import Path

from ..archive.durable import write_file

FOLDER = "etc/systemd/system"


def write_script(root: Path, path: str, text: str, mode: int = 0o755) -> None:
    """Write a script below ``root``; its folders are made."""
    target = root / path
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_file(target, text.encode("utf-8"), mode)


def write(root: Path, name: str, text: str, wanted_by: str) -> None:
    """Write a unit and enable it in the folder ``wanted_by`` (``multi-user.target.wants``)."""
    folder = root / FOLDER
    link = folder / wanted_by / name
    link.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_file(folder / name, text.encode("utf-8"))
    if not link.is_symlink():
        link.symlink_to(f"../{name}")


def remove(root: Path, name: str, wanted_by: str) -> None:
    """Disable and remove a unit; one that is not there is no error."""
    for path in (root / FOLDER / wanted_by / name, root / FOLDER / name):
        path.unlink(missing_ok=True)
