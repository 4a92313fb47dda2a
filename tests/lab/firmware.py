# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""UEFI for a machine: OVMF as Debian packs it, with variables of the machine's own."""

from __future__ import annotations

import shutil
from pathlib import Path

CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
#: Variables as a new mainboard has them: no boot entry, Secure Boot off.
FRESH_VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
#: The variables of an image or a machine, in its folder.
VARIABLES = "vars.fd"


def make_variables(folder: Path, source: Path = FRESH_VARIABLES) -> None:
    """Give a machine its own variables; with fresh ones its firmware has forgotten every boot entry."""
    shutil.copyfile(source, folder / VARIABLES)


def qemu_arguments(folder: Path = Path()) -> list[str]:
    """Return the two flash chips: the code, which nobody writes, and the variables."""
    code = f"if=pflash,format=raw,unit=0,readonly=on,file={CODE}"
    return ["-drive", code, "-drive", f"if=pflash,format=raw,unit=1,file={folder / VARIABLES}"]
