# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is on a device, as blkid's low-level probing finds it (blkid(8)); never its cache."""

from __future__ import annotations

from dataclasses import dataclass

from ..runner import Runner

#: blkid's statuses: nothing found, or more than one thing found (ambivalent).
NOTHING = 2
AMBIVALENT = 8


@dataclass(frozen=True)
class Signature:
    """``kind`` is blkid's TYPE (``ext4``, ``LVM2_member``…), ``several`` when it finds more than
    one, empty for nothing. UUID and label are empty where there is none."""

    kind: str = ""
    uuid: str = ""
    label: str = ""
    usage: str = ""


def probe(runner: Runner, node: str) -> Signature:
    """Return the signature on a device or image file."""
    done = runner.run(["blkid", "-p", "-o", "export", node], accept=(0, NOTHING, AMBIVALENT))
    if done.returncode == AMBIVALENT:
        return Signature("several")
    fields = dict(line.split("=", 1) for line in done.text.splitlines() if "=" in line)
    return Signature(
        kind=fields.get("TYPE", ""),
        uuid=fields.get("UUID", ""),
        label=unescape(fields.get("LABEL", "")),
        usage=fields.get("USAGE", ""),
    )


def unescape(text: str) -> str:
    """Undo the backslashes with which blkid's export format protects characters from a shell."""
    out, index = [], 0
    while index < len(text):
        if text[index] == "\\" and index + 1 < len(text):
            index += 1
        out.append(text[index])
        index += 1
    return "".join(out)
