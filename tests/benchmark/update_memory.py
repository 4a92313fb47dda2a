# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m tests.benchmark.update_memory``: the memory of an update with payloads of several sizes, as root.

Each update runs in a process of its own, into an ext4 in an image file; what counts is the peak that the engine
itself reports (resident memory of the process and of all programs that it runs). The bar is 200 MiB whatever the
payload's size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MIB = 1 << 20
BAR_MIB = 200
#: MiB that no compressor makes smaller, and small files beside them.
CASES = ((100, 2000), (400, 40000), (1600, 40000))


def main() -> int:
    if len(sys.argv) == 4:
        probe(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
        return 0
    worst = 0.0
    for size, files in CASES:
        with tempfile.TemporaryDirectory(prefix="dualroot-bench-") as scratch:
            argv = [sys.executable, "-m", __spec__.name, scratch, str(size), str(files)]
            done = subprocess.run(argv, check=True, capture_output=True, text=True)
        figures = json.loads(done.stdout.splitlines()[-1])
        worst = max(worst, figures["peak_ram_bytes"] / MIB)
        print(
            f"payload {figures['bytes'] / MIB:7.0f} MiB, {figures['files']:6} files:"
            f" peak {figures['peak_ram_bytes'] / MIB:6.1f} MiB   bar: at most {BAR_MIB}"
        )
    return 0 if worst <= BAR_MIB else 1


def probe(folder: Path, size: int, files: int) -> None:
    """Run one update; print its figures as JSON."""
    from tests.tools.test_update import Lab, mounted

    with mounted(folder, (size * 2 + 1024) * MIB) as device:
        lab = Lab(folder, device)
        tree = folder / "tree"
        for number in range(files):
            path = tree / f"usr/share/many/{number % 100}/{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{number}\n" * 100)
        with (tree / "usr/share/large").open("wb") as file:
            for _part in range(size):
                file.write(os.urandom(MIB))
        lab.pack()
        done = lab.install()
    print(json.dumps({"bytes": done.bytes, "files": done.files, "peak_ram_bytes": done.peak_ram_bytes}))


if __name__ == "__main__":
    sys.exit(main())
