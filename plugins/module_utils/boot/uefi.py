# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Boot control on a UEFI host: one loader on the EFI system partition, one entry in the firmware.

The old system's EFI system partition stays. This project's loader lies on it in a folder of its own, and
starts what ``switch.cfg`` beside it names. ``take_control`` puts its entry first in the firmware's order,
in one write; ``hand_over`` overwrites the one sector of ``switch.cfg``. The former order is kept behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk import sysfs
from ..faults import boot as kinds
from ..faults.fault import Fault
from ..runner import Runner
from . import esp, grub_bios, lifeboat_entry, nvram
from .uefi_image import PAUSE_SECONDS

if TYPE_CHECKING:
    from ..layout.model import ResolvedLayout
    from ..lifeboat.model import Lifeboat

Plan = Mapping[str, Any]

#: The loader in the convert environment, made with it.
IMAGE = Path("/usr/lib/dualroot/grubx64.efi")
#: The loader and the entry as the firmware has them.
LOADER_PATH = "\\EFI\\dualroot\\grubx64.efi"
LABEL = "dualroot"

_DISPATCH = """\
set root=$dr_disk,gpt{number}
set prefix=($root)/grub
configfile $prefix/grub.cfg
echo "dualroot: the dispatcher cannot be read; next try in {pause} s"
sleep {pause}
reboot
"""


def prepare_lifeboat(
    runner: Runner,
    node: str,
    resolved: ResolvedLayout,
    plan: Plan,
    lifeboat: Lifeboat,
    *,
    image: Path = IMAGE,
    root: Path = sysfs.ROOT,
) -> None:
    """Write loader, lifeboat's configuration and switch, and make the entry, outside the firmware's order.

    Raises ``Fault`` ``boot.uefi_loader_missing``, ``boot.esp_missing``, ``boot.esp_unwritable`` or
    ``boot.nvram_unwritable``.
    """
    content = read_image(image)
    _entry(runner, node, resolved, root)
    with esp.mounted(runner, esp.node_of(node, resolved, root)) as mount:
        esp.write(mount / esp.HOME / esp.LOADER, content)
        esp.write(mount / esp.HOME / "lifeboat.cfg", lifeboat_config(plan, lifeboat))
        # A host that this project converted before is started through this switch already, by its entry or,
        # where the firmware has lost that, by the removable-media path.
        if not esp.read_switch(mount):
            esp.set_switch(mount, "lifeboat")


def take_control(
    runner: Runner,
    node: str,
    resolved: ResolvedLayout,
    plan: Plan,
    lifeboat: Lifeboat,
    *,
    image: Path = IMAGE,
    root: Path = sysfs.ROOT,
) -> None:
    """Put the entry first in the firmware's order, once all that it starts is there: the point of no return.

    Raises ``Fault`` ``boot.lifeboat_files`` before the write.
    """
    entry = _entry(runner, node, resolved, root)
    wanted = _files(plan, lifeboat, image)
    with esp.mounted(runner, esp.node_of(node, resolved, root)) as mount:
        _require_files(mount, wanted)
        _switch(mount, "lifeboat")
    nvram.put_first(runner, entry.number, root)


def require_control(
    runner: Runner,
    node: str,
    resolved: ResolvedLayout,
    plan: Plan,
    lifeboat: Lifeboat,
    *,
    image: Path = IMAGE,
    root: Path = sysfs.ROOT,
) -> None:
    """Raise ``boot.lifeboat_files`` or ``boot.nvram_unwritable`` unless firmware, loader and switch lead to it."""
    wanted = _files(plan, lifeboat, image)
    with esp.mounted(runner, esp.node_of(node, resolved, root)) as mount:
        _require_files(mount, wanted)
        if esp.read_switch(mount) != "lifeboat":
            raise Fault(kinds.LIFEBOAT_FILES, path=f"/{esp.HOME}/{esp.SWITCH}")
    if not in_control(resolved, root=root):
        raise Fault(kinds.NVRAM_UNWRITABLE, what="the boot order", problem="another entry is the first")


def in_control(resolved: ResolvedLayout, *, root: Path = sysfs.ROOT) -> bool:
    """Tell whether the entry is the first of the firmware's order."""
    part = esp.partition(resolved)
    entries = nvram.find(part.uuid, LOADER_PATH, root) if part else []
    return nvram.order(root)[:1] in [(entry.number,) for entry in entries]


def settle_after_return(
    runner: Runner,
    node: str,
    resolved: ResolvedLayout,
    plan: Plan,
    *,
    image: Path = IMAGE,
    root: Path = sysfs.ROOT,
) -> None:
    """Take the removable-media path, and the old vendor's loaders out of reach, for a firmware that forgets."""
    content = read_image(image)
    with esp.mounted(runner, esp.node_of(node, resolved, root)) as mount:
        esp.take_removable_path(mount, content)
        esp.put_aside_former_loaders(mount)


def install(
    runner: Runner,
    node: str,
    resolved: ResolvedLayout,
    plan: Plan,
    *,
    image: Path = IMAGE,
    root: Path = sysfs.ROOT,
) -> None:
    """Prepare the EFI system partition for the dispatcher, whatever the firmware is; who starts stays.

    On a BIOS host the partition is new, and the disk then starts under UEFI by the removable-media path.
    """
    content = read_image(image)
    with esp.mounted(runner, esp.node_of(node, resolved, root)) as mount:
        esp.write(mount / esp.HOME / esp.LOADER, content)
        esp.write(mount / esp.HOME / "dispatch.cfg", dispatch_config(resolved))
        if not esp.read_switch(mount):
            esp.set_switch(mount, "dispatch")
        if plan["firmware"] != "uefi":
            esp.take_removable_path(mount, content)


def hand_over(
    runner: Runner,
    node: str,
    resolved: ResolvedLayout,
    plan: Plan,
    *,
    image: Path = IMAGE,
    root: Path = sysfs.ROOT,
    grub_dir: Path = grub_bios.GRUB_DIRECTORY,
) -> None:
    """Let the dispatcher start: one sector of ``switch.cfg``.

    With a lifeboat all else is so already; without one, this is where the old loaders lose the host, in an
    order in which each cut leaves a host that starts. The boot sector is for a BIOS that gets the disk later.
    """
    if grub_bios.starts_by_bios(resolved):
        grub_bios.switch_boot_sector(node, resolved, grub_dir)
    content = read_image(image)
    entry = _entry(runner, node, resolved, root)
    with esp.mounted(runner, esp.node_of(node, resolved, root)) as mount:
        esp.set_switch(mount, "dispatch")
        esp.take_removable_path(mount, content)
        esp.put_aside_former_loaders(mount)
    nvram.put_first(runner, entry.number, root)


def withdraw(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan, *, root: Path = sysfs.ROOT) -> None:
    """Before the point of no return: remove the entry and the files; nothing where the entry is in use."""
    part = esp.partition(resolved)
    entries = nvram.find(part.uuid, LOADER_PATH, root) if part else []
    present = nvram.order(root)
    if any(entry.number in present for entry in entries):
        return
    # The entry last: as long as it is there, disarm finds what a cut here leaves.
    with esp.mounted(runner, esp.node_of(node, resolved, root)) as mount:
        if esp.read_switch(mount) != "dispatch":
            esp.remove_own(mount)
    for entry in entries:
        nvram.remove(runner, entry.number)


def lifeboat_config(plan: Plan, lifeboat: Lifeboat) -> bytes:
    """Return ``lifeboat.cfg``; the image has put the name of its disk into ``dr_disk``."""
    return lifeboat_entry.config(plan, lifeboat, "$dr_disk").encode("ascii")


def dispatch_config(resolved: ResolvedLayout) -> bytes:
    """Return ``dispatch.cfg``: the dispatch partition of the same disk, by its number."""
    number = resolved.partition(resolved.dispatch).number
    return _DISPATCH.format(number=number, pause=PAUSE_SECONDS).encode("ascii")


def read_image(image: Path) -> bytes:
    """Return the loader; raises ``Fault`` ``boot.uefi_loader_missing``."""
    try:
        return image.read_bytes()
    except OSError as error:
        raise Fault(kinds.UEFI_LOADER_MISSING, path=image) from error


def _files(plan: Plan, lifeboat: Lifeboat, image: Path) -> dict[str, bytes]:
    """Return what the lifeboat is started by, as it has to lie in this project's folder."""
    return {esp.LOADER: read_image(image), "lifeboat.cfg": lifeboat_config(plan, lifeboat)}


def _require_files(mount: Path, wanted: Mapping[str, bytes]) -> None:
    for name, content in wanted.items():
        path = mount / esp.HOME / name
        if not path.is_file() or path.read_bytes() != content:
            raise Fault(kinds.LIFEBOAT_FILES, path=f"/{esp.HOME}/{name}")


def _switch(mount: Path, target: str) -> None:
    """Set the switch; a write that fails half is put back, because a host that was converted before starts by it."""
    former = esp.read_switch(mount)
    try:
        esp.set_switch(mount, target)
    except Fault:
        if former:
            with contextlib.suppress(Fault):
                esp.set_switch(mount, former)
        raise


def _entry(runner: Runner, node: str, resolved: ResolvedLayout, root: Path) -> nvram.BootEntry:
    part = esp.partition(resolved)
    if part is None:
        raise Fault(kinds.ESP_MISSING, node=node, problem="the layout has none")
    return nvram.create(runner, node, part.number, part.uuid, LOADER_PATH, LABEL, root)
