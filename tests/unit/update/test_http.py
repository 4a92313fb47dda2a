# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading an archive from an address, over connections that break."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.address import address_of
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.update import http
from ansible_collections.dualroot.migrate.plugins.module_utils.update.payload import source_of

from tests.support.guarded_server import HEADER, SECRETS, UNUSABLE, guarded

CONTENT = bytes(range(256)) * 1000
TAG = '"v1"'


class Answer:
    """An answer that gives ``count`` bytes and then breaks, by its end or by an error."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes, error: Exception | None = None) -> None:
        self.status, self.headers = status, headers
        self._body, self._error = body, error
        self.closed = False

    def readinto(self, buffer: Any) -> int:
        part = self._body[: min(len(buffer), 1000)]
        self._body = self._body[len(part) :]
        if not part and self._error:
            raise self._error
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self.closed = True


class Server:
    """Answers by a list of ``(what, arguments)``; remembers the headers of each request."""

    def __init__(self, *acts: Callable[[int], Answer | Exception]) -> None:
        self.acts = list(acts)
        self.asked: list[dict[str, str]] = []
        self.answers: list[Answer] = []

    def __call__(self, address: str, headers: dict[str, str]) -> Answer:
        self.asked.append(headers)
        start = int(headers.get("Range", "bytes=0-")[6:-1])
        found = (self.acts.pop(0) if len(self.acts) > 1 else self.acts[0])(start)
        if isinstance(found, Exception):
            raise found
        self.answers.append(found)
        return found


def partial(count: int = len(CONTENT), tag: str = TAG, error: Exception | None = None) -> Callable[[int], Answer]:
    """A server that goes on where it is asked to."""

    def answer(start: int) -> Answer:
        if not start:
            return Answer(200, {"Content-Length": str(len(CONTENT)), "ETag": tag}, CONTENT[:count], error)
        headers = {"Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}", "ETag": tag}
        return Answer(206, headers, CONTENT[start : start + count], error)

    return answer


def whole(_start: int) -> Answer:
    """A server that knows no ranges and no tags."""
    return Answer(200, {"Content-Length": str(len(CONTENT))}, CONTENT)


def download(server: Any, slept: list[float] | None = None, size: int = len(CONTENT)) -> http.Download:
    sleep = (slept if slept is not None else []).append
    return http.Download("https://user:secret@example.com/b/rootfs.tar.zst?key=1", size, ask=server, sleep=sleep)


def read(source: http.Download) -> bytes:
    reader = source.open()
    buffer = memoryview(bytearray(65536))
    found = b""
    while count := reader.readinto(buffer):
        found += bytes(buffer[:count])
    reader.close()
    return found


def test_one_connection_is_enough() -> None:
    server = Server(partial())
    source = download(server)
    assert read(source) == CONTENT
    assert (server.asked, source.reconnects) == ([{"Accept-Encoding": "identity"}], [])
    assert server.answers[0].closed


@pytest.mark.parametrize("error", [None, ConnectionResetError(104, "reset"), socket.timeout("timed out")])
def test_a_broken_connection_is_taken_up_where_it_ended(error: Exception | None) -> None:
    slept: list[float] = []
    server = Server(partial(5000, error=error), partial(70000, error=error), partial())
    source = download(server, slept)
    assert read(source) == CONTENT
    assert [one.get("Range") for one in server.asked] == [None, "bytes=5000-", "bytes=75000-"]
    assert {one.get("If-Range") for one in server.asked[1:]} == {TAG}
    # Bytes arrived in between, so patience begins anew.
    assert slept == [1.0, 1.0]
    assert source.reconnects[0].startswith("at byte 5000: ")


def test_a_server_without_ranges_sends_it_again_and_what_is_there_is_passed_over() -> None:
    server = Server(lambda start: Answer(200, {}, CONTENT[:7000]), whole)
    assert read(download(server)) == CONTENT


def test_it_gives_up_after_a_while_without_a_byte() -> None:
    slept: list[float] = []
    server = Server(partial(5000), lambda start: OSError("no route to host"))
    with pytest.raises(Fault) as caught:
        read(download(server, slept))
    assert caught.value.id == "boot.source_missing"
    assert slept == list(http.PAUSES)
    record = str(caught.value.record())
    assert "no route to host" in record and "rootfs.tar.zst" in record
    assert "secret" not in record and "key=1" not in record


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        (partial(tag='"v2"'), "has changed"),
        (lambda start: Answer(206, {"Content-Range": "bytes 1-2/3"}, b"xx"), "another part"),
        (lambda start: http.NotUsable("the server answers 404 Not Found"), "404"),
        (lambda start: Answer(200, {"Content-Length": "17"}, b""), "17 bytes"),
    ],
)
def test_what_no_later_attempt_betters_ends_it_at_once(second: Any, problem: str) -> None:
    slept: list[float] = []
    server = Server(partial(5000), second)
    with pytest.raises(Fault, match="source_missing") as caught:
        read(download(server, slept))
    assert problem in str(caught.value.record())
    assert len(slept) == 1


def test_an_answer_that_is_no_such_file_ends_it_before_the_first_byte() -> None:
    with pytest.raises(Fault, match="source_missing"):
        download(Server(partial()), size=17).open()


def test_a_size_that_nobody_says_is_the_servers() -> None:
    source = download(Server(partial(5000), partial()), size=0)
    assert source.open().size == len(CONTENT)
    assert read(download(Server(partial(5000), partial()), size=0)) == CONTENT
    with pytest.raises(Fault, match="source_missing") as caught:
        download(Server(lambda start: Answer(200, {}, CONTENT)), size=0).open()
    assert "does not tell its size" in str(caught.value.record())


class Handler(BaseHTTPRequestHandler):
    """Breaks every connection after 60,000 bytes; serves ranges."""

    def do_GET(self) -> None:
        if self.path != "/b/rootfs.tar.zst":
            self.send_error(404 if self.path != "/busy" else 503)
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        self.wfile.write(CONTENT[start : start + 60000])
        self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_real_client_goes_on_after_each_break(address: str) -> None:
    source = http.Download(f"{address}/b/rootfs.tar.zst", len(CONTENT), sleep=lambda seconds: None)
    assert read(source) == CONTENT
    assert len(source.reconnects) == len(CONTENT) // 60000


def test_the_real_client_tells_for_now_from_for_good(address: str) -> None:
    with pytest.raises(OSError, match="503"):
        http.ask_by_python(f"{address}/busy", {})
    with pytest.raises(http.NotUsable, match="404"):
        http.ask_by_python(f"{address}/other", {})


def test_a_login_goes_to_the_server_of_the_address_alone(tmp_path: Path) -> None:
    (tmp_path / "payload").mkdir()
    (tmp_path / "payload/rootfs.tar.zst").write_bytes(CONTENT)
    payload = {"file": "payload/rootfs.tar.zst", "size": len(CONTENT)}
    with guarded(tmp_path) as server:
        server.away.add("payload/rootfs.tar.zst")
        source = source_of(server.address, payload)
        assert read(source) == CONTENT
        assert (server.headers, server.elsewhere.headers) == ({HEADER}, {None})
        assert "p%40ss" not in f"{source} {source!r}"
        wrong = http.Download(server.address.replace("p%40ss", "hunter2") + "/payload/rootfs.tar.zst", 1)
        with pytest.raises(Fault, match="source_missing") as caught:
            wrong.open()
    assert "401" in caught.value.record()["why"] and "hunter2" not in str(caught.value.record())


@pytest.mark.parametrize("address", UNUSABLE)
def test_no_text_has_the_login_of_an_address_that_leads_nowhere(address: str) -> None:
    source = http.Download(address_of(address, "rootfs.tar.zst"), 1, pauses=(0.0,), sleep=lambda seconds: None)
    with pytest.raises(Fault, match="source_missing") as caught:
        source.open()
    texts = f"{caught.value} {caught.value.record()} {source} {source!r}"
    assert not [one for one in SECRETS if one in texts]
