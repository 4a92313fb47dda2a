# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Talk to a running QEMU over its machine protocol (QMP)."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

REPLY_SECONDS = 20.0


class QmpError(Exception):
    """QEMU refused a command, or is not there to answer."""


class Monitor:
    """One connection to a QMP socket; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(REPLY_SECONDS)

    def __enter__(self) -> Monitor:
        # A socket's path is limited to 107 bytes, a folder's is not: go through its descriptor.
        folder = os.open(self._path.parent, os.O_PATH)
        try:
            self._socket.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        except OSError as error:
            self._socket.close()
            raise QmpError(f"{self._path}: {error}") from error
        finally:
            os.close(folder)
        self._lines = self._socket.makefile("rwb")
        json.loads(self._lines.readline())
        self.execute("qmp_capabilities")
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a QMP command and return what it returned; raises ``QmpError``."""
        request = {"execute": command, "arguments": arguments}
        try:
            self._lines.write(json.dumps(request).encode() + b"\n")
            self._lines.flush()
            while line := self._lines.readline():
                reply = json.loads(line)
                if "return" in reply:
                    return reply["return"]
                if "error" in reply:
                    raise QmpError(f"{command}: {reply['error']['desc']}")
        except OSError as error:
            raise QmpError(f"{command}: {error}") from error
        raise QmpError(f"{command}: QEMU closed the connection")

    def human(self, command: str) -> str:
        """Run a command of the human monitor, for what has no machine form, and return its text."""
        return str(self.execute("human-monitor-command", **{"command-line": command}))

    def ssh_port(self) -> int:
        """Return the loopback port that QEMU forwards to the guest's SSH.

        QEMU chose it itself (``hostfwd=tcp:127.0.0.1:0-:22``), so no other process can take it in
        between. No machine format tells it; the human monitor is the only place to ask.
        """
        text = self.human("info usernet")
        found = re.search(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+22\s", text)
        if not found:
            raise QmpError(f"no forwarded SSH port in: {text}")
        return int(found[1])
