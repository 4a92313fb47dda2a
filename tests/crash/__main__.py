# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m tests.crash``: cut the power of migrations, and count how the hosts end.

    python -m tests.crash run --seconds 3600      go on with the matrix for an hour
    python -m tests.crash table                   what the results say so far

Needs root, loop devices, QEMU, and a bundle of the tests (``python -m tests.lab bundle debian13-va``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab.bundles import build_bundle
from tests.lab.cache import cache_folder

from . import combos, report, soak
from .bundle import REPOSITORY
from .prepare import NotPrepared, Prepared, prepare

RESULTS = REPOSITORY / "tests/crash/results/soak.jsonl"
BOOTS = RESULTS.with_name("boots.jsonl")
#: States of one combination that are taken before the next one's turn.
_TURN = 6
#: States of a second cut in the same step, for each combination.
_SECOND = 4


class Machines:
    """Prepares the combinations one after the other in the background, and remembers which could not be.

    Undisturbed runs take minutes of one processor; states of what is ready are started meanwhile.
    """

    def __init__(self, arguments: argparse.Namespace, chosen: Sequence[combos.Combo]) -> None:
        self._arguments = arguments
        self.failed: dict[str, str] = {}
        self._built = arguments.bundle or build_bundle("debian13-va").folder
        self._pool = ThreadPoolExecutor(1)
        self._found = {combo: self._pool.submit(self._prepare, combo) for combo in chosen}

    def _prepare(self, combo: combos.Combo) -> list[tuple[Prepared, soak.Case]]:
        started, given = time.monotonic(), self._arguments
        try:
            one = prepare(combo, given.work, self._built, own_engine=given.own_engine)
        except (NotPrepared, RuntimeError) as error:
            self.failed[combo.name] = str(error)
            print(f"{combo.name}: not prepared: {error}", flush=True)
            return []
        found = soak.cases(one, given.seed, given.points, given.staging, given.step)
        print(f"{combo.name}: {len(found)} states, ready after {time.monotonic() - started:.0f} s", flush=True)
        return [(one, case) for case in found]

    def close(self) -> None:
        """Prepare nothing more; what is being prepared is brought to its end."""
        self._pool.shutdown(cancel_futures=True)

    def is_ready(self, combo: combos.Combo) -> bool:
        return self._found[combo].done()

    def cases(self, combo: combos.Combo) -> list[tuple[Prepared, soak.Case]]:
        """Return the states of a combination, as soon as it is ready."""
        return self._found[combo].result()

    def second_cuts(self, combo: combos.Combo) -> Iterator[tuple[Prepared, soak.Case]]:
        """Yield states of a cut during the resume of an earlier cut, in the same step."""
        for prepared, _case in self.cases(combo)[: not self._arguments.step]:
            for case in soak.second_cuts(prepared, self._arguments.seed, _SECOND):
                yield prepared, case


def in_turn(machines: Machines, chosen: Sequence[combos.Combo]) -> Iterator[tuple[Prepared, soak.Case]]:
    """Yield a few states of each combination in turn, so that a run that is ended early has seen all of them."""
    taken = dict.fromkeys(chosen, 0)
    while taken:
        # Of those that are ready, the one that had the fewest turns; where none is, the next to become so.
        combo = min(taken, key=lambda one: (not machines.is_ready(one), taken[one]))
        turn = machines.cases(combo)[taken[combo] : taken[combo] + _TURN]
        yield from turn
        taken[combo] += _TURN
        if not turn:
            del taken[combo]
    for combo in chosen:
        if combo.lifeboat != "none":
            yield from machines.second_cuts(combo)


def do_run(arguments: argparse.Namespace) -> int:
    chosen = [combos.find(name) for name in arguments.combo] or list(combos.all_combos())
    machines, results = Machines(arguments, chosen), soak.Results(arguments.results)
    until = time.monotonic() + arguments.seconds
    bad = 0
    with soak.scratch_folder(arguments.work) as scratch, contextlib.closing(machines):
        todo = in_turn(machines, chosen)
        for line in soak.run_all(todo, results, scratch, arguments.jobs, until):
            bad += not line["ok"]
            said = "" if line["ok"] else f" EXPECTED {'/'.join(line['expected'])}: {line['problem']}"
            where = f"{line['combo']} {line['recording']} {line['point']} {line['step']} ({line['moment']})"
            print(f"{where}: {line['class']} {line['seconds']:.0f} s{said}", flush=True)
    print(report.summary(results.lines))
    return 1 if bad or machines.failed else 0


def do_boots(arguments: argparse.Namespace) -> int:
    """Cut ten boots of a good slot in a row, on a machine of each firmware."""
    bad = 0
    lines = []
    built = arguments.bundle or build_bundle("debian13-va").folder
    with soak.scratch_folder(arguments.work) as scratch:
        for name in arguments.combo or ["bios-virtio-ext4-mbr-va", "uefi-virtio-ext4-gpt-dual"]:
            one = prepare(combos.find(name), arguments.work, built, own_engine=arguments.own_engine)
            lines.append(soak.cut_boots(one, scratch, cuts=10, seed=arguments.seed))
            bad += lines[-1]["class"] != "NEW"
            print(lines[-1], flush=True)
    BOOTS.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
    return 1 if bad else 0


def do_table(arguments: argparse.Namespace) -> int:
    print(report.summary(soak.Results(arguments.results).lines))
    return 0


def main() -> int:
    top = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__.splitlines()[0])
    verbs = top.add_subparsers(required=True, metavar="VERB")
    run = verbs.add_parser("run", help="go on with the matrix")
    run.add_argument("--seconds", type=float, default=float(os.environ.get("DUALROOT_SOAK_SECONDS", 8 * 3600)))
    run.add_argument("--jobs", type=int, default=soak.JOBS, help="machines at once")
    run.add_argument("--points", type=int, default=56, help="states of each combination")
    run.add_argument("--staging", type=int, help="of them, states of the staging; default: a quarter")
    run.add_argument("--step", default="", help="every write of this step instead, as partition.firmware")
    run.set_defaults(do=do_run)
    boots = verbs.add_parser("boots", help="cut ten boots of a good slot in a row")
    boots.set_defaults(do=do_boots)
    table = verbs.add_parser("table", help="count the results")
    table.set_defaults(do=do_table)
    for verb in (run, boots):
        verb.add_argument("--seed", type=int, default=1)
        verb.add_argument("--combo", action="append", default=[], help="only these, as bios-virtio-ext4-mbr-va")
        verb.add_argument("--bundle", type=Path, help="a built bundle; default: the one of the tests")
        verb.add_argument("--own-engine", action="store_true", help="put this tree's engine behind the bundle's initrd")
    for verb in (run, boots, table):
        verb.add_argument("--results", type=Path, default=RESULTS)
        verb.add_argument("--work", type=Path, default=cache_folder().parent / "crash", help="images and recordings")
    arguments = top.parse_args()
    return int(arguments.do(arguments))


if __name__ == "__main__":
    sys.exit(main())
