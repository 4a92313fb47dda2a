# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Results of test runs, taken into the file that the page is written from."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support import matrix


def test_lines_of_one_fault_are_counted(tmp_path: Path) -> None:
    kept, new = tmp_path / "kept.jsonl", tmp_path / "new.jsonl"
    line = {"row": "disk: gone", "outcome": "OLD", "fault": "disk.not_found", "level": "VM", "count": 2, "proof": "a"}
    kept.write_text(json.dumps(line) + "\n")
    later = {**line, "count": 1, "proof": "b | " + "c" * 200}
    new.write_text("".join(json.dumps(one) + "\n" for one in (later, {**line, "outcome": "NEW"})))
    matrix.main(new, kept)
    first, second = map(json.loads, kept.read_text().splitlines())
    assert (first["count"], first["proof"]) == (3, ("b / " + "c" * 200)[: matrix.PROOF])
    assert (second["outcome"], second["count"]) == ("NEW", 2)
