# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of the restore engine."""

from __future__ import annotations

from .fault import FaultKind

UNKNOWN_FORMAT = FaultKind(
    id="archive.unknown_format",
    phase="restore",
    what="{source} is not an archive that can be restored",
    why="Its first bytes belong to none of: tar, tar.gz, tar.xz, tar.zst.",
    how="Give the root file system as a tar archive, plain or compressed with gzip, xz or zstd.",
)
NOT_THERE = FaultKind(
    id="archive.not_there",
    phase="restore",
    what="The archive {source} cannot be read",
    why="The system said: {error}",
    how="Check the path and that the file was copied there, then run again.",
)
NO_TARGET = FaultKind(
    id="archive.no_target",
    phase="restore",
    what="The target {target} is not a directory",
    why="An archive is restored into a directory that exists, normally a mounted file system.",
    how="Mount the file system, or create the directory, then run again.",
)
NOT_EMPTY = FaultKind(
    id="archive.not_empty",
    phase="restore",
    what="The target {target} is not empty: it holds {found}",
    why="An archive laid over other files gives a system that nobody has built or tested.",
    how="Check that this is the right target; then empty it, or run again with existing=erase.",
)
UNSAFE_MEMBER = FaultKind(
    id="archive.unsafe_member",
    phase="restore",
    what="The archive holds the member {member}, which {reason}",
    why="Writing it would change files outside the target.",
    how="Do not use this archive. Find out who made it, and build it again from a root file system.",
)
MALFORMED = FaultKind(
    id="archive.malformed",
    phase="restore",
    what="The archive is damaged or not made by a common tar, at byte {offset}: {reason}",
    why="What follows that place cannot be read with certainty.",
    how="Check the digest of the file against the one that its builder published; build or copy it again.",
)
TRUNCATED = FaultKind(
    id="archive.truncated",
    phase="restore",
    what="The archive {source} ends before its end mark",
    why="The file was cut off while it was written or copied.",
    how="Copy or build the archive again, and compare its digest.",
)
DIGEST = FaultKind(
    id="archive.digest",
    phase="restore",
    what="The digest of {source} is {found}, not {wanted}",
    why="The file was damaged or exchanged after its digest was taken. What was restored is discarded.",
    how="Copy the archive again and check it with sha256sum before the next try.",
)
TOO_LARGE = FaultKind(
    id="archive.too_large",
    phase="restore",
    what="The archive unpacks to more than {limit} bytes",
    why="Its manifest promised {promised} bytes; a small file that unpacks without end would fill the disk.",
    how="Build the bundle again so that manifest and payload belong together.",
)
NO_SPACE = FaultKind(
    id="archive.no_space",
    phase="restore",
    what="There is no room in {target} for the archive",
    why="{needed} bytes are needed and {free} bytes are free (in bytes or inodes the file system is full).",
    how="Give the volume more room in the layout, or build a smaller payload.",
)
UNPACK_FAILED = FaultKind(
    id="archive.unpack_failed",
    phase="restore",
    what="{program} ended with status {returncode} while the archive was restored",
    why="It said: {stderr}",
    how="A damaged archive, a full or a failing disk cause this: check the digest of the archive and the "
    "kernel log for input/output errors, then run again; a new run starts from an empty target.",
)
NOT_DURABLE = FaultKind(
    id="archive.not_durable",
    phase="restore",
    what="The restored files could not be brought to the disk of {target}",
    why="The system said: {error}",
    how="The disk reports write errors: look at the kernel log, replace the disk, and run again.",
)

KINDS = (
    UNKNOWN_FORMAT,
    NOT_THERE,
    NO_TARGET,
    NOT_EMPTY,
    UNSAFE_MEMBER,
    MALFORMED,
    TRUNCATED,
    DIGEST,
    TOO_LARGE,
    NO_SPACE,
    UNPACK_FAILED,
    NOT_DURABLE,
)
