# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The boot entry of the convert kernel on the old system, started once and then forgotten.

The entry stands in ``custom.cfg``, which the ``grub.cfg`` of every GRUB 2 distribution reads: their own
configuration is neither edited nor generated anew, and the default entry stays what it is. Hosts whose
``grub.cfg`` does not read it get the entry by grubby.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..archive.durable import sync_directory, write_file
from ..faults import boot as kinds
from ..faults.fault import Fault
from ..probe.mounts import place_of
from ..runner import Runner
from . import host_loader
from .dispatcher import ALWAYS, ONE_SHOT, check_arguments
from .host_loader import HostLoader
from .settle import settle

ENTRY_ID = ONE_SHOT
#: Seconds that stage two may take before the first write, beside the wait for the go: reading the payload from
#: the slowest disk included. The first process then restarts into the old system, whatever hangs.
LIMIT_SECONDS = 3600
_BEGIN = "### BEGIN dualroot.migrate ###\n"
_END = "### END dualroot.migrate ###\n"

_ENTRY = """\
# The one-shot entry of a migration; removed by the state "disarmed" of the module initramfs_stage.
menuentry "Convert this host (dualroot.migrate, run {run})" --id {id} --unrestricted {{
  insmod part_msdos
  insmod part_gpt
  insmod {module}
  search --no-floppy --fs-uuid --set=root {uuid}
  echo "dualroot: loading the convert kernel"
  if linux {kernel} {arguments}; then
    if initrd {initrds}; then
      boot
    fi
  fi
  # The one-shot is used up: the next start is the old system's.
  echo "dualroot: the convert kernel cannot be loaded; the old system is started"
  sleep 5
  reboot
}}
"""
#: GRUB's module for each file system that /boot may be.
_MODULES = {"ext2": "ext2", "ext3": "ext2", "ext4": "ext2", "vfat": "fat", "xfs": "xfs", "btrfs": "btrfs"}


@dataclass(frozen=True)
class Entry:
    """What is started: paths on this system, and the kernel's arguments."""

    run_id: str
    kernel: Path
    initrds: tuple[Path, ...]
    arguments: tuple[str, ...]


def arguments(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the kernel arguments of stage two; the host's consoles come last, so that the last one
    of them is its console. Raises ``Fault`` ``boot.argument_unsafe``.

    On a disk with an MBR the kernel is not told ``gpt``: it would then believe a stale GPT at the end of the disk,
    of an earlier use, and not the table by which the old system lies there. A start from the lifeboat is told so
    always, because then the new table may be half there.
    """
    always = [word for word in ALWAYS if word != "gpt" or plan["disk"]["table"] != "dos"]
    limit = f"dualroot.limit={plan['go_timeout'] + LIMIT_SECONDS}"
    return check_arguments(
        ("dualroot.mode=convert", f"dualroot.run={plan['run_id']}", limit, *always, *plan["kernel_arguments"])
    )


def render(entry: Entry, fstype: str, uuid: str, on_device: Mapping[Path, str]) -> str:
    """Return the menu entry; ``on_device`` maps each path to its path inside the file system ``uuid``."""
    return _ENTRY.format(
        run=entry.run_id,
        id=ENTRY_ID,
        module=_MODULES.get(fstype, fstype),
        uuid=uuid,
        kernel=on_device[entry.kernel],
        arguments=" ".join(entry.arguments),
        initrds=" ".join(on_device[path] for path in entry.initrds),
    )


def with_block(text: str, block: str) -> str:
    """Return a configuration with this project's block replaced, added, or (if empty) removed."""
    before, found, rest = text.partition(_BEGIN)
    if found:
        _old, _end, after = rest.partition(_END)
        text = before + after
    if not block:
        return text
    if text and not text.endswith("\n"):
        text += "\n"
    return f"{text}{_BEGIN}{block}{_END}"


def custom_config(runner: Runner, loader: HostLoader, entry: Entry) -> str:
    """Return what ``custom.cfg`` is to be with the entry in it."""
    folder = entry.kernel.parent
    place = place_of(runner, os.path.realpath(folder))
    if place is None or not place.uuid:
        raise Fault(kinds.NO_LOADER, problem=f"no file system with a UUID holds {folder}")
    paths = {path: f"{place.inside}/{path.name}" for path in (entry.kernel, *entry.initrds)}
    return with_block(_read(loader.custom_config), render(entry, place.mount.fstype, place.uuid, paths))


def write_custom_config(loader: HostLoader, text: str) -> None:
    """Write ``custom.cfg``, or remove it where nothing is left in it; others keep their part."""
    path = loader.custom_config
    if text:
        mode = path.stat().st_mode & 0o777 if path.is_file() else 0o644
        write_file(path, text.encode("utf-8", "surrogateescape"), mode)
    elif path.is_file():
        path.unlink()
        sync_directory(path.parent)
    settle(loader.directory)


def read_custom_config(loader: HostLoader) -> str:
    """Return ``custom.cfg``, empty where there is none."""
    return _read(loader.custom_config)


def check_support(loader: HostLoader) -> None:
    """Raise ``Fault`` ``boot.one_shot_unsupported`` where an entry could repeat or never start."""
    problem = loader.environment_doubt
    if not loader.handles_next_entry:
        problem = f"{loader.config} does not look at next_entry; make it anew with grub-mkconfig"
    elif not loader.editenv_tool:
        problem = "the program grub-editenv (or grub2-editenv) is missing"
    elif not loader.reads_custom_config and not loader.grubby:
        problem = f"{loader.config} does not read custom.cfg, and there is no grubby"
    elif problem:
        problem = f"GRUB cannot strike out the entry in {loader.environment}: {problem}"
    if problem:
        raise Fault(kinds.ONE_SHOT_UNSUPPORTED, problem=problem)


def armed_entry(runner: Runner, loader: HostLoader) -> str:
    """Return the entry that GRUB starts once, empty if none."""
    return host_loader.read_environment(runner, loader).get("next_entry", "")


def arm(runner: Runner, loader: HostLoader) -> str:
    """Set the one-shot, read it back and return it; raises ``Fault`` ``boot.not_armed``."""
    if loader.reboot_tool:
        runner.run([loader.reboot_tool, ENTRY_ID])
    else:
        runner.run([loader.editenv_tool, str(loader.environment), "set", f"next_entry={ENTRY_ID}"])
    settle(loader.directory)
    found = armed_entry(runner, loader)
    if found != ENTRY_ID:
        raise Fault(
            kinds.NOT_ARMED,
            wanted=ENTRY_ID,
            found=found,
            tool=loader.reboot_tool or loader.editenv_tool,
            editenv=loader.editenv_tool,
            environment=loader.environment,
        )
    return found


def disarm(runner: Runner, loader: HostLoader) -> None:
    """Take the one-shot back."""
    runner.run([loader.editenv_tool, str(loader.environment), "unset", "next_entry"])
    settle(loader.directory)


def has_grubby_entry(runner: Runner, loader: HostLoader, kernel: Path) -> bool:
    """Tell whether grubby knows an entry for the convert kernel."""
    # grubby ends with 1 where it has no entry for the kernel. RHEL 7 prints title=NAME, later title="NAME".
    found = runner.run([loader.grubby, f"--info={kernel}"], accept=(0, 1)).text.replace('"', "")
    return f"title={ENTRY_ID}" in found.splitlines()


def add_grubby_entry(runner: Runner, loader: HostLoader, entry: Entry) -> None:
    """Add the entry by grubby, which takes one initramfs only; the default entry is not touched."""
    (initrd,) = entry.initrds
    options = [f"--add-kernel={entry.kernel}", f"--initrd={initrd}", f"--title={ENTRY_ID}"]
    runner.run([loader.grubby, *options, f"--args={' '.join(entry.arguments)}"])
    settle(loader.directory)


def remove_grubby_entry(runner: Runner, loader: HostLoader, kernel: Path) -> None:
    """Remove what ``add_grubby_entry`` added."""
    runner.run([loader.grubby, f"--remove-kernel={kernel}"])
    settle(loader.directory)


def _read(path: Path) -> str:
    return path.read_text("utf-8", "surrogateescape") if path.is_file() else ""
