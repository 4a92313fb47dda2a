# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pipeline of a restore: packed archive → digest → decompressor → header scanner → GNU tar."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..faults import archive as kinds
from ..faults.fault import Fault
from ..runner import Runner
from .acl import TextAcl
from .compression import decompressor
from .digests import FileDigests
from .durable import write_all
from .packed import PackedReader, packed
from .packed import Source as PackedSource
from .scanner import BLOCK, Scanner

_CHUNK = 1 << 20
#: fcntl(2) F_SETPIPE_SZ; the constant is in Python's fcntl only since 3.10.
_F_SETPIPE_SZ = 1031
_SHOWN_ERRORS = 600


def tar_argv(target: Path) -> tuple[str, ...]:
    """Return the command that unpacks a tar from its stdin with everything that belongs to a root.

    Sparse members are written sparse and hard links linked by themselves. The large record spares
    tar a hundred reads per megabyte of pipe. Not ``--acls``: it drops ACLs that are stored raw, and
    looks up the names of others in this system instead of the restored one (see ``acl.py``).
    """
    return (
        "tar",
        "--extract",
        "--file=-",
        f"--directory={target}",
        "--numeric-owner",
        "--same-owner",
        "--preserve-permissions",
        "--xattrs",
        "--xattrs-include=*",
        "--selinux",
        "--record-size=1M",
        # The clock of a host may be wrong in the convert initrd; files of "the future" are no news.
        "--warning=no-timestamp",
    )


@dataclass(frozen=True)
class Source:
    """A packed archive; ``hashed`` asks for its digest on the way, ``sha256`` is what it must be."""

    packed: PackedSource
    compression: str
    hashed: bool = True
    sha256: str = ""


@dataclass(frozen=True)
class Counts:
    """What passed through; ``digest`` is SHA-256 in hex, or empty where it was not asked for.

    ``acls`` are those that are left to be set.
    """

    digest: str
    read_bytes: int
    unpacked_bytes: int
    entries: int
    acls: tuple[TextAcl, ...] = ()


def unpack(
    runner: Runner,
    source: Source,
    target: Path,
    *,
    limit: int = 0,
    promised: int = 0,
    progress: Callable[[int, int], None] | None = None,
    digests: FileDigests | None = None,
) -> Counts:
    """Unpack ``source`` into ``target``; raises a fault before a refused member reaches tar.

    ``limit`` is the most bytes of tar to accept (0: no limit); ``progress`` gets packed bytes read
    and packed bytes in all; ``digests`` takes those of the single files.
    """
    pipeline = _Pipeline(runner, source, target, progress, Scanner(digests))
    try:
        pipeline.pump(limit, promised)
        counts = pipeline.finish()
    except Fault as fault:
        pipeline.blame_source()
        if source.sha256 and fault.kind is not kinds.NO_SPACE:
            # A damaged file shows itself in many ways; the digest says which file is to blame.
            _compare(source, pipeline.digest_of_all())
        raise
    finally:
        pipeline.close()
    _compare(source, counts.digest)
    return counts


def _compare(source: Source, digest: str) -> None:
    if source.sha256 and digest and digest != source.sha256:
        raise Fault(kinds.DIGEST, source=source.packed, found=digest, wanted=source.sha256)


@dataclass(frozen=True)
class _Part:
    """A program of the pipeline; ``errors`` is the handle of the file that takes its complaints."""

    name: str
    process: subprocess.Popen[bytes]
    errors: int


@dataclass
class _Pipeline:
    """The processes and pipes of one restore; ``close`` leaves nothing of them behind."""

    runner: Runner
    source: Source
    target: Path
    progress: Callable[[int, int], None] | None
    scanner: Scanner = field(default_factory=Scanner)
    unpacked: int = 0

    def __post_init__(self) -> None:
        self._feeder = _Feeder(self.source.hashed, self.progress)
        self._handles: list[int] = []
        self._processes: list[_Part] = []
        self._tar_left = False
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        try:
            self._feeder.source = packed(self.source.packed).open()
        except OSError as error:
            raise Fault(kinds.NOT_THERE, source=self.source.packed, error=error.strerror) from error
        feed_read, feed_write = self._pipe()
        self.unpacked_from = feed_read
        argv = decompressor(self.source.compression)
        if argv:
            plain_read, plain_write = self._pipe()
            self._spawn(argv, feed_read, plain_write)
            self._drop(feed_read, plain_write)
            self.unpacked_from = plain_read
        tar_read, self.tar_write = self._pipe()
        self._spawn(tar_argv(self.target), tar_read, None)
        self._drop(tar_read)
        # The feeder owns this end from here on: it closes it itself.
        self._handles.remove(feed_write)
        self._feeder.start(feed_write)

    def pump(self, limit: int, promised: int) -> None:
        """Move the tar stream from the decompressor to tar, looking at every header on the way."""
        buffer = memoryview(bytearray(_CHUNK))
        while True:
            count = _read_blocks(self.unpacked_from, buffer)
            if count == 0:
                return
            self.unpacked += count
            if limit and self.unpacked > limit:
                raise Fault(kinds.TOO_LARGE, limit=limit, promised=promised)
            if count % BLOCK:
                self._blame_decompressor()
                raise Fault(kinds.TRUNCATED, source=self.source.packed)
            if not self.scanner.ended:
                self.scanner.feed(buffer[:count])
            try:
                write_all(self.tar_write, buffer[:count])
            except BrokenPipeError:
                # After the end mark tar may stop reading; before it, it has failed and finish() says how.
                if not self.scanner.ended:
                    self._tar_left = True
                    return
            self._stop_if_full()

    def finish(self) -> Counts:
        """Wait for all parts; raise for the one that failed first, not for those that it took along."""
        if not self._tar_left:
            self._feeder.join()
            self.blame_source()
            self._blame_decompressor()
            if not self.scanner.ended:
                raise Fault(kinds.TRUNCATED, source=self.source.packed)
        self._drop(self.tar_write)
        tar = self._processes[-1]
        if tar.process.wait() != 0 or self._tar_left:
            self._blame(tar)
        scanner, feeder = self.scanner, self._feeder
        return Counts(feeder.digest, feeder.read, self.unpacked, scanner.entries, tuple(scanner.acls))

    def blame_source(self) -> None:
        """Raise what kept the archive from being read to its end; the programs then failed only for want of it."""
        error = self._feeder.error
        if isinstance(error, Fault):
            raise error
        if error is not None:
            raise Fault(kinds.NOT_THERE, source=self.source.packed, error=error.strerror)

    def digest_of_all(self) -> str:
        """Give up the restore, but read the file to its end; return its digest."""
        self._abandon()
        self._feeder.join()
        return self._feeder.digest

    def close(self) -> None:
        """End what still runs and give back every handle."""
        self._feeder.stop = True
        self._abandon()
        self._feeder.join()
        self._feeder.close()

    def _abandon(self) -> None:
        for part in self._processes:
            if part.process.poll() is None:
                part.process.kill()
                part.process.wait()
        for handle in self._handles:
            os.close(handle)
        self._handles = []

    def _blame_decompressor(self) -> None:
        for part in self._processes[:-1]:
            if part.process.wait() != 0:
                self._blame(part)

    def _blame(self, part: _Part) -> None:
        said = _content(part.errors)
        if os.strerror(errno.ENOSPC) in said:
            self._no_space()
        shown = said.strip()[-_SHOWN_ERRORS:] or "(nothing)"
        status = part.process.returncode
        raise Fault(kinds.UNPACK_FAILED, program=part.name, returncode=status, stderr=shown)

    def _stop_if_full(self) -> None:
        """Stop at the first complaint about room: tar itself would try every file that is left."""
        errors = self._processes[-1].errors
        if os.fstat(errors).st_size and os.strerror(errno.ENOSPC) in _content(errors):
            self._no_space()

    def _no_space(self) -> None:
        room = os.statvfs(self.target)
        free = room.f_bavail * room.f_frsize
        raise Fault(kinds.NO_SPACE, target=self.target, needed=f"more than {self.unpacked}", free=free)

    def _spawn(self, argv: tuple[str, ...], stdin: int, stdout: int | None) -> None:
        errors = self._keep(_scratch())
        process = self.runner.start(
            argv, stdin=stdin, stdout=subprocess.DEVNULL if stdout is None else stdout, stderr=errors
        )
        self._processes.append(_Part(argv[0], process, errors))

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        with contextlib.suppress(OSError):
            # Fewer, larger turns between the processes; refused above the user's limit, then 64 KiB do.
            fcntl.fcntl(ends[1], _F_SETPIPE_SZ, _CHUNK)
        return self._keep(ends[0]), self._keep(ends[1])

    def _keep(self, handle: int) -> int:
        self._handles.append(handle)
        return handle

    def _drop(self, *handles: int) -> None:
        for handle in handles:
            if handle in self._handles:
                self._handles.remove(handle)
                os.close(handle)


class _Feeder:
    """Reads the packed archive once: the bytes that are hashed are the bytes that are unpacked."""

    def __init__(self, hashed: bool, progress: Callable[[int, int], None] | None) -> None:
        self.read = 0
        self.digest = ""
        self.error: OSError | Fault | None = None
        self.stop = False
        self.source: PackedReader | None = None
        self._sink = -1
        self._hasher = hashlib.sha256() if hashed else None
        self._progress = progress
        self._thread = threading.Thread(target=self._run, name="restore-feeder", daemon=True)

    def start(self, sink: int) -> None:
        """Begin to feed; the handle is closed at its end."""
        self._sink = sink
        self._thread.start()

    def close(self) -> None:
        """Give the source back."""
        if self.source is not None:
            self.source.close()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            if self.source is not None:
                self._copy(self.source)
        except (OSError, Fault) as error:
            self.error = error
        finally:
            if self._sink >= 0:
                os.close(self._sink)

    def _copy(self, source: PackedReader) -> None:
        buffer = memoryview(bytearray(_CHUNK))
        while not self.stop:
            count = source.readinto(buffer)
            if count == 0:
                self.digest = self._hasher.hexdigest() if self._hasher else ""
                return
            if self._hasher:
                self._hasher.update(buffer[:count])
            if self._sink >= 0:
                self._pass_on(buffer[:count])
            self.read += count
            if self._progress:
                self._progress(self.read, source.size)

    def _pass_on(self, view: memoryview) -> None:
        try:
            write_all(self._sink, view)
        except BrokenPipeError:
            # The reader has seen enough or has failed; the digest still wants the rest of the file.
            os.close(self._sink)
            self._sink = -1


def _read_blocks(handle: int, buffer: memoryview) -> int:
    """Read until a multiple of a block is there, the buffer is full, or the stream ends."""
    count = 0
    while count == 0 or count % BLOCK:
        got = os.readv(handle, [buffer[count:]])
        if got == 0:
            break
        count += got
    return count


def _scratch() -> int:
    """Return a file in memory for a program's complaints: unlike a pipe it never makes it wait."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("errors")
    import tempfile

    handle, name = tempfile.mkstemp()
    os.unlink(name)
    return handle


def _content(handle: int) -> str:
    return os.pread(handle, 1 << 16, 0).decode("utf-8", "replace")
