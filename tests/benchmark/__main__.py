# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``make bench``: migrate one machine and compare the restore with a plain pipe on that machine.

Prints ratios beside their bars, because seconds of an emulated machine mean nothing elsewhere.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from tests.lab.bundles import Bundle, build_bundle
from tests.lab.machine import Machine, Options, end_on_signal, running
from tests.lab.playbook import TOP, run_playbook

MIB = 1 << 20
PROBE = Path(__file__).parent / "restore_probe.py"
ENGINE = TOP / "plugins/module_utils"
#: As `tar -cJ` has always packed: level 6 and one block, which no reader can unpack in parallel.
XZ_OPTIONS = ("-6", "-T1")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each way to restore")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    end_on_signal()
    bundle = build_bundle("benchmark")
    with tempfile.TemporaryDirectory(prefix="dualroot-bench-") as scratch:
        figures = measure(bundle, Path(scratch), arguments.rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    show(figures)
    return 0


def measure(bundle: Bundle, scratch: Path, rounds: int) -> dict[str, Any]:
    """Return the figures of one migration and of the restores on the same machine after it."""
    manifest = json.loads((bundle.folder / "manifest.json").read_text())
    with running(scratch / "bench", Options(image="debian11", memory_mib=1536)) as machine:
        variables = {**bundle.variables(), "dualroot_consent": 1}
        outcome = run_playbook("migrate", variables, scratch / "reports", inventory=machine.inventory)
        if outcome.returncode != 0:
            raise SystemExit(f"the migration failed:\n{outcome.output[-4000:]}")
        result = outcome.result(machine.name)
        restores = compare_restores(machine, bundle.folder / manifest["payload"]["file"], scratch, rounds)
    return {"result": result, "initrd_bytes": manifest["environment"]["initrd"]["size"], "restores": restores}


def compare_restores(machine: Machine, payload: Path, scratch: Path, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way to restore the same tree on the machine; see restore_probe.py."""
    packed_xz = scratch / "payload.tar.xz"
    with packed_xz.open("wb") as target, subprocess.Popen(["zstd", "-dc", payload], stdout=subprocess.PIPE) as tar:
        subprocess.run(["xz", *XZ_OPTIONS, "-c"], stdin=tar.stdout, stdout=target, check=True)
    copy(machine, payload, "/var/tmp/payload.tar.zst")
    copy(machine, packed_xz, "/var/tmp/payload.tar.xz")
    copy(machine, PROBE, "/var/tmp/restore_probe.py")
    engine = subprocess.run(
        ["tar", "-C", str(ENGINE.parent), "-c", "--transform", "s,^module_utils,dualroot,", "module_utils"],
        capture_output=True,
        check=True,
    ).stdout
    pour(machine, engine, "mkdir -p /var/tmp/engine && tar -x -C /var/tmp/engine")
    probe = f"restore_probe.py engine payload.tar.zst payload.tar.xz /var/tmp/tree {rounds}"
    figures: dict[str, list[float]]
    figures = json.loads(machine.ssh(f"cd /var/tmp && sudo python3 {probe}", timeout=3600.0).splitlines()[-1])
    return figures


def copy(machine: Machine, source: Path, target: str) -> None:
    with source.open("rb") as content:
        subprocess.run(machine.ssh_command(f"cat > {target}"), stdin=content, check=True)


def pour(machine: Machine, content: bytes, command: str) -> None:
    subprocess.run(machine.ssh_command(command), input=content, check=True)


def show(figures: dict[str, Any]) -> None:
    result, restores = figures["result"], figures["restores"]
    # With a lifeboat the payload is never held in memory, so nothing is to be taken off.
    held, most = (0, 400) if result.get("lifeboat") else (result["payload_bytes"], 250)
    beside_payload = (result["peak_ram_bytes"] - held) / MIB
    downtime = result["downtime_seconds"]
    engine, pipe, xz = (median(restores[name]) for name in ("engine", "zstd_pipe", "tar_xz"))
    print(f"payload                          {result['payload_bytes'] / MIB:8.1f} MiB")
    print(f"peak RAM beside the payload      {beside_payload:8.1f} MiB   bar: at most {most}")
    print(f"convert initrd                   {figures['initrd_bytes'] / MIB:8.1f} MiB   bar: at most 60")
    print(f"restore: plain pipe / engine     {pipe / engine:8.2f}       bar: at least 0.9")
    print(f"restore: tar -xJ / engine        {xz / engine:8.2f}       bar: at least 4")
    print("downtime by phase, as a share of the whole:")
    known = 0.0
    for phase in result["phases"]:
        known += phase["seconds"]
        print(f"  {phase['name']:<12} {phase['seconds'] / downtime:6.1%}")
    print(f"  {'boots':<12} {1 - known / downtime:6.1%}")


if __name__ == "__main__":
    sys.exit(main())
