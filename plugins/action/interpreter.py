# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find or bring a Python for modules to run on; see modules/interpreter.py."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.faults import flow as kinds
from ..module_utils.faults.fault import Fault
from ..plugin_utils.reached import reached
from ..plugin_utils.results import failed
from ..plugin_utils.sending import Sending, send, survey

display = Display()

FOLDER = "/var/lib/dualroot/interpreter"
WRAPPER = f"{FOLDER}/python3"
#: Beside it; signatures are checked with it on hosts without an openssl of their own.
OPENSSL = f"{FOLDER}/openssl"
ARCHIVE = "/var/lib/dualroot/interpreter.tar.gz"

#: What this collection's modules need; it is at or above what ansible-core 2.18 and 2.19 need on a host
#: (3.8, see the support matrix of ansible-core).
FLOOR = (3, 9)

#: Newest known to ansible-core first; a platform Python of the RHEL family last.
NAMES = (
    *(f"python3.{minor}" for minor in range(13, FLOOR[1] - 1, -1)),
    "python3",
    "/usr/libexec/platform-python",
)

# zlib, hashlib and the others stand for the parts that minimal Pythons leave out and modules need.
_TEST = (
    "import sys, json, zlib, hashlib, subprocess, tempfile, zipfile; "
    "sys.version_info[:2] >= ({}, {}) or sys.exit(3); print(sys.version.split()[0])".format(*FLOOR)
)


def probe_text(preferred: str | None) -> str:
    """Return sh text that prints the first usable Python: path and version."""
    # The bundled one, where a run has unpacked it before, comes last.
    names = [*([preferred] if preferred else []), *NAMES, WRAPPER]
    listed = " ".join(shlex.quote(name) for name in names)
    return (
        f"{{ command -v openssl || ls {OPENSSL}; }} >/dev/null 2>&1 && echo DUALROOT-OPENSSL; "
        f'for p in {listed}; do q=$(command -v "$p" 2>/dev/null) || continue; '
        f'v=$("$q" -c {shlex.quote(_TEST)} 2>/dev/null) || continue; '
        'echo "DUALROOT-PYTHON $q $v"; break; done; exit 0'
    )


def _archive(arguments: Mapping[str, Any]) -> Sending:
    return Sending(arguments["archive"], ARCHIVE, arguments["sha256"], arguments["size"])


class ActionModule(ActionBase):
    """Only raw commands, so it works where no Python is."""

    TRANSFERS_FILES = True
    _supports_check_mode = True
    _supports_async = False

    @reached
    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "archive": {"type": "path"},
                "sha256": {"type": "str"},
                "size": {"type": "int"},
                "prefer": {"type": "str"},
                "openssl": {"type": "bool", "default": False},
            },
            required_together=[("archive", "sha256", "size")],
        )
        self._host = str((task_vars or {}).get("inventory_hostname", ""))
        try:
            return self._remove() if arguments["state"] == "absent" else self._provide(arguments)
        except Fault as fault:
            return failed(fault)

    def _provide(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        prefer = arguments["prefer"] if str(arguments["prefer"] or "").startswith("/") else None
        found = self._find(prefer)
        if found and arguments["openssl"] and not found["openssl"] and arguments["archive"]:
            changed = not self._task.check_mode and self._unpack(_archive(arguments))
            return {"changed": changed, "bundled": found["interpreter"] == WRAPPER, **found, "openssl": changed}
        if found:
            return {"changed": False, "bundled": found["interpreter"] == WRAPPER, **found}
        if not arguments["archive"]:
            raise self._missing("none was given")
        if self._task.check_mode:
            raise self._missing("check mode writes nothing, and the bundled one would have to be unpacked")
        changed = self._unpack(_archive(arguments))
        found = self._find(WRAPPER)
        if not found:
            raise self._missing("it was unpacked and does not run; is /var/lib mounted noexec?")
        return {"changed": changed, "bundled": found["interpreter"] == WRAPPER, **found}

    def _missing(self, detail: str) -> Fault:
        return Fault(kinds.NO_PYTHON, floor=".".join(map(str, FLOOR)), detail=detail)

    def _find(self, prefer: str | None) -> dict[str, Any] | None:
        # As root: the bundled one lies in a folder that only root may enter, and modules run as root.
        done = self._shell(probe_text(prefer))
        for line in done["stdout"].splitlines():
            words = line.split()
            if words[:1] == ["DUALROOT-PYTHON"] and len(words) == 3:
                has_openssl = "DUALROOT-OPENSSL" in done["stdout"].split()
                return {"interpreter": words[1], "version": words[2], "openssl": has_openssl}
        return None

    def _unpack(self, archive: Sending) -> bool:
        """Send and unpack unless that very archive is there already; the mark is written last."""
        mark = f"{FOLDER}/.sha256"
        present = self._shell(f"cat {mark} 2>/dev/null")["stdout"].split()
        if present[:1] == [archive.sha256]:
            return False
        rest = survey(self._shell, [archive])[0]
        if rest is not None:
            send(self._shell, archive, rest, lambda text: display.display(f"{self._host}: {text}"))
        done = self._shell(
            f"umask 022; rm -rf {FOLDER} && mkdir -p {FOLDER} && tar -xzf {ARCHIVE} -C {FOLDER} && "
            f"rm -f {ARCHIVE} && echo {archive.sha256} >{mark} && echo DUALROOT-UNPACKED"
        )
        if "DUALROOT-UNPACKED" not in done["stdout"]:
            raise self._missing(done["stderr"].strip()[-300:] or "unpacking failed")
        return True

    def _remove(self) -> dict[str, Any]:
        if self._task.check_mode:
            present = "yes" in self._shell(f"[ -e {FOLDER} ] && echo yes")["stdout"]
            return {"changed": present}
        done = self._shell(
            f"if [ -e {FOLDER} ] || [ -e {ARCHIVE} ]; then "
            f"rm -rf {FOLDER} {ARCHIVE} {ARCHIVE}.*.part && echo DUALROOT-REMOVED; fi"
        )
        return {"changed": "DUALROOT-REMOVED" in done["stdout"]}

    def _shell(self, text: str, data: bytes | None = None) -> Mapping[str, Any]:
        return self._low_level_execute_command(text, sudoable=True, in_data=data)
