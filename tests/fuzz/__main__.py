# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m tests.fuzz --inputs 100000``: fuzz every kind of input, and keep a line of each.

Nine inputs of ten are coverage-guided, the tenth is hypothesis'. Status 1 where anything failed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import search
from .targets import TARGETS, clean_up

RESULTS = Path(__file__).parents[1] / "crash" / "results" / "fuzz.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="inputs of each target")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS, help="lines of targets that ran are replaced in it")
    given = parser.parse_args()
    failed = False
    for name in given.target or TARGETS:
        by_hypothesis = given.inputs // 10
        guided = search.guided(TARGETS[name], given.inputs - by_hypothesis, given.seed)
        records = [guided, search.described(TARGETS[name], by_hypothesis, given.seed)]
        for record in records:
            print(
                f"{record.target:15} {record.engine:15} {record.inputs:7} inputs in {record.seconds:7.1f} s: "
                f"{record.accepted} accepted, {record.refused} refused, {len(record.failures)} failed",
                flush=True,
            )
            for failure in record.failures:
                print(f"  {failure['error']}\n    {failure['input'][:2000]}", flush=True)
            failed = failed or bool(record.failures)
        keep(given.results, records)
    clean_up()
    return 1 if failed else 0


def keep(path: Path, records: list[search.Record]) -> None:
    """Write the records, in place of older ones of the same target."""
    names = {record.target for record in records}
    before = path.read_text().splitlines() if path.is_file() else []
    others = [line for line in before if not any(f'"target": "{name}"' in line for name in names)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in [*others, *(record.line() for record in records)]))


if __name__ == "__main__":
    raise SystemExit(main())
