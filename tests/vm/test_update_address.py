# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An update straight from an address, over connections that break: nothing is staged on the host, nothing is lost."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.lab.bundles import build_bundle

from .conftest import Host, StartHost, soak

MIB = 1 << 20
#: Bytes after which every connection ends.
BREAK = 50 * MIB


class Handler(BaseHTTPRequestHandler):
    """Serves a folder with ranges; ``asked`` has the path and the first byte of every request."""

    folder = Path()
    asked: list[tuple[str, int]] = []

    def do_HEAD(self) -> None:
        self._answer(0)

    def do_GET(self) -> None:
        self._answer(BREAK)

    def _answer(self, most: int) -> None:
        path = self.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        size, start = path.stat().st_size, int(self.headers.get("Range", "bytes=0-")[6:-1])
        if most:
            self.asked.append((path.name, start))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(size - start))
        self.send_header("ETag", f'"{size}"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        with path.open("rb") as file, contextlib.suppress(OSError):
            file.seek(start)
            while most > 0 and (part := file.read(min(most, MIB))):
                self.wfile.write(part)
                most -= len(part)
        self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(host: Host, folder: Path) -> Iterator[int]:
    """Serve a folder at one address for controller and host: the host reaches it through its own login."""
    Handler.folder, Handler.asked = folder, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        argv = host.machine.ssh_command("sleep 3600")
        argv[1:1] = ["-R", f"127.0.0.1:{port}:127.0.0.1:{port}", "-o", "ExitOnForwardFailure=yes"]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as tunnel:
            try:
                yield port
            finally:
                tunnel.kill()
                server.shutdown()


@soak
def test_the_payload_streams_into_the_slot(start_host: StartHost) -> None:
    host = start_host(image="converted-debian13-va")
    bundle = build_bundle("debian13-va-2")
    host.machine.ssh("sudo mkdir -p /srv/app && echo kept | sudo tee /srv/app/state")
    before = host.boot_id()
    variables = {**bundle.variables(), "dualroot_carry_paths": ["/srv/app"], "dualroot_health_commands": ["true"]}
    with served(host, bundle.folder) as port:
        variables["dualroot_bundle"] = f"http://127.0.0.1:{port}"
        outcome = host.play("update", dualroot_consent=1, **variables)
    assert outcome.returncode == 0, outcome.output[-6000:]
    assert host.boot_id() != before
    assert host.machine.ssh("cat /etc/lab-version /srv/app/state").split() == ["2", "kept"]
    assert "dualroot.slot=b" in host.machine.ssh("cat /proc/cmdline")
    # It broke, and went on where it had ended.
    starts = [start for name, start in Handler.asked if name == "rootfs.tar.zst"]
    size = (bundle.folder / "payload/rootfs.tar.zst").stat().st_size
    assert set(starts) == {0, *range(BREAK, size, BREAK)}, starts
    record = json.loads(host.machine.ssh("cat /boot/dispatch/slots/b.json"))
    assert re.fullmatch(r"[0-9a-f]{64}", record["content_sha256"])
    # Now it is what runs: nothing is to be done, and nothing is fetched.
    Handler.asked.clear()
    with served(host, bundle.folder) as port:
        variables["dualroot_bundle"] = f"http://127.0.0.1:{port}"
        again = host.play("update", dualroot_consent=1, **variables)
    assert again.returncode == 0 and "changed=0" in again.output, again.output[-4000:]
    assert "rootfs.tar.zst" not in [name for name, _start in Handler.asked]
