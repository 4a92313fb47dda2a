# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one-shot of a staged restore: a block in front of the dispatcher's configuration.

In front of it, because it then works with the dispatcher of any earlier version, and neither the slot state nor the
order of slots is touched: what cannot be loaded, and every start after the first, is the dispatcher's as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..boot.dispatcher import ALWAYS, check_arguments, terminal
from ..boot.one_shot import LIMIT_SECONDS

#: Folder on the dispatch file system, and what lies in it.
FOLDER = "restore"
KERNEL, INITRD, HOST_CPIO, ONCE = "vmlinuz", "initrd.img", "host.cpio", "once"
_BEGIN = "### BEGIN restore ###\n"
_END = "### END restore ###\n"
_VARIABLE = "dr_restore"
ARMED = "armed"
_BYTES = 1024

_BLOCK = """\
set dr_restore=""
if [ -f "($root)/restore/once" ]; then
  load_env --skip-sig --file "($root)/restore/once" dr_restore
fi
if [ "$dr_restore" = armed ]; then
{terminal}  # It counts only if it could be struck out first: else it would repeat forever.
  set dr_restore=""
  save_env --file "($root)/restore/once" dr_restore
  set dr_restore=kept
  load_env --skip-sig --file "($root)/restore/once" dr_restore
  if [ -z "$dr_restore" ]; then
    echo "dualroot: boot restore run={run}"
    if linux "($root)/restore/vmlinuz" {arguments}; then
      if initrd "($root)/restore/initrd.img" "($root)/restore/host.cpio"; then
        boot
      fi
    fi
    # Started anew: a kernel that is loaded and not booted spoils the command line of the next one.
    echo "dualroot: the restore cannot be loaded; the slots are started as before"
    sleep 5
    reboot
  fi
fi
"""


def arguments(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the kernel arguments of stage two; raises ``Fault`` ``boot.argument_unsafe``."""
    limit = f"dualroot.limit={plan['go_timeout'] + LIMIT_SECONDS}"
    own = ("dualroot.mode=restore", f"dualroot.run={plan['run_id']}", limit)
    return check_arguments((*own, *ALWAYS, *plan["kernel_arguments"]))


def with_entry(config: str, plan: Mapping[str, Any]) -> str:
    """Return the dispatcher's configuration with the block of this plan in front of it."""
    lines = terminal(plan["kernel_arguments"]).splitlines()
    block = _BLOCK.format(
        terminal="".join(f"  {line}\n" for line in lines),
        run=check_arguments([str(plan["run_id"])])[0],
        arguments=" ".join(arguments(plan)),
    )
    return f"{_BEGIN}{block}{_END}{without_entry(config)}"


def without_entry(config: str) -> str:
    """Return the dispatcher's configuration as it was before."""
    before, found, rest = config.partition(_BEGIN)
    return before + rest.partition(_END)[2] if found else config


def environment(value: str) -> bytes:
    """Return the environment block of the one-shot, as GRUB knows it: 1024 bytes, the value in the first sector."""
    return f"# GRUB Environment Block\n{_VARIABLE}={value}\n".encode("ascii").ljust(_BYTES, b"#")


def is_armed(block: bytes) -> bool:
    """Tell whether an environment block starts the restore."""
    return f"{_VARIABLE}={ARMED}".encode("ascii") in block.split(b"\n")
