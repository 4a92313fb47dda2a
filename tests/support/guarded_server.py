# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A web server on the loopback that wants a login, and one that it sends its clients to.

with guarded(folder) as server:
    server.address            # http://deploy:p%40ss%2Fw%3Ard%C3%A9@127.0.0.1:1/gw
    server.asked              # [(path, header Authorization or None), …]
    server.elsewhere.asked    # the same of the other server
    server.away.add("manifest.json")
"""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

USER = "deploy"
#: Every sign of it that means something in an address, and one that is no ASCII.
PASSWORD = 'p@ss/w:rd"\\é'
HEADER = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode("ascii")


@dataclass
class Server:
    """One server; ``away`` has the names of files that lie on the other one."""

    folder: Path
    wanted: str | None
    port: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    away: set[str] = field(default_factory=set)
    elsewhere: Server | None = None

    @property
    def address(self) -> str:
        login = f"{USER}:{quote(PASSWORD, safe='')}@" if self.wanted else ""
        return f"http://{login}127.0.0.1:{self.port}/gw"

    @property
    def headers(self) -> set[str | None]:
        """What requests brought as Authorization."""
        return {header for _path, header in self.asked}


@contextlib.contextmanager
def guarded(folder: Path) -> Iterator[Server]:
    """Serve a folder at ``/gw``, to who has the login, and beside it to everybody."""
    first, second = Server(folder, HEADER), Server(folder, None)
    first.elsewhere = second
    with _serving(first), _serving(second):
        yield first


@contextlib.contextmanager
def _serving(server: Server) -> Iterator[None]:
    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(server.folder))

        def send_head(self) -> Any:
            given = self.headers.get("Authorization")
            server.asked.append((self.path, given))
            name = unquote(self.path)[len("/gw/") :]
            if server.wanted and given != server.wanted:
                return self._end(401, "WWW-Authenticate", 'Basic realm="bundles"')
            if name in server.away and server.elsewhere:
                return self._end(302, "Location", f"http://127.0.0.1:{server.elsewhere.port}{self.path}")
            self.path = self.path[len("/gw") :]
            return super().send_head()

        def _end(self, status: int, header: str, value: str) -> None:
            self.send_response(status)
            self.send_header(header, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_unused: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server.port = listening.server_port
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown()
            thread.join()


#: Addresses with a login that lead nowhere, by as many ways: a port that is no number, bare signs in the password
#: that end the server's name, brackets, a sign that Unicode takes for a slash, control characters, no server, and
#: nobody who listens (the discard port).
UNUSABLE = (
    "http://deploy:hunter2@127.0.0.1:port/gw",
    "http://deploy:hun/ter2@127.0.0.1/gw",
    "http://127.0.0.1:9/hunter2@127.0.0.1/gw",
    "http://deploy:hunter2?x@127.0.0.1/gw",
    "http://deploy:hunter2#x@127.0.0.1/gw",
    "http://deploy:[hunter2]@127.0.0.1:9/gw",
    "http://deploy:hunter2\uff0f@127.0.0.1:9/gw",
    "http://deploy:hunter2\n@127.0.0.1:9/gw",
    "http://deploy:hunter2@/gw",
    "http://deploy:hunter2@[::1/gw",
    "http://deploy:hunter2@127.0.0.1:9/g w\x01",
    "http://hunter2@127.0.0.1:9/gw",
    "http://deploy:hunter2@127.0.0.1:9/gw?token=hunter2",
)
SECRETS = ("hunter2", "hun", "ter2")
