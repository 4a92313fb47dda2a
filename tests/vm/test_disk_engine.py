# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The disk engine on real block devices: virtio, NVMe and SCSI, sectors of 512 and 4096 bytes.

The guest is the convert kernel and initrd of a bundle, with the engine and the tests of this tree in
a second archive behind it; it needs no old system, no network and no root here.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.cpio import pack

from tests.lab.accelerator import qemu_arguments
from tests.lab.bundles import build_bundle
from tests.support import layouts

REPOSITORY = Path(__file__).parents[2]
ENGINE = REPOSITORY / "plugins" / "module_utils"
GUEST = Path(__file__).parent / "disk_guest"
SECONDS = 900

#: Serial number, bytes and the QEMU device of each disk.
DISKS = (
    ("D512", 8 << 30, "virtio-blk-pci"),
    ("D4096", 8 << 30, "virtio-blk-pci,logical_block_size=4096,physical_block_size=4096"),
    ("DNVME", 8 << 30, "nvme"),
    ("DSCSI", 1 << 30, "scsi-hd,bus=scsi.0"),
)


def second_archive() -> bytes:
    files = {
        f"usr/lib/dualroot/dualroot/{path.relative_to(ENGINE)}": path.read_bytes() for path in ENGINE.rglob("*.py")
    }
    files["disk-tests/main.py"] = (GUEST / "main.py").read_bytes()
    files["disk-tests/start.sh"] = (GUEST / "start.sh").read_bytes()
    files["disk-tests/layout.json"] = json.dumps(layouts.document("va")).encode()
    files["disk-tests/dual.json"] = json.dumps(layouts.document("dual")).encode()
    return pack(files)


def run_guest(environment: Path, folder: Path) -> str:
    """Boot the guest and return what it printed."""
    initrd = folder / "initrd.img"
    initrd.write_bytes((environment / "initrd.img").read_bytes() + second_archive())
    argv = ["qemu-system-x86_64", *qemu_arguments(), "-m", "1024", "-display", "none", "-nodefaults"]
    argv += ["-no-reboot", "-serial", f"file:{folder / 'serial.log'}", "-device", "virtio-scsi-pci,id=scsi"]
    argv += ["-kernel", str(environment / "vmlinuz"), "-initrd", str(initrd)]
    argv += ["-append", "console=ttyS0 quiet gpt panic=-1 rdinit=/bin/sh -- /disk-tests/start.sh"]
    for serial, size, device in DISKS:
        image = folder / f"{serial}.img"
        with image.open("wb") as stream:
            stream.truncate(size)
        argv += ["-drive", f"file={image},format=raw,if=none,id={serial},cache=unsafe,discard=unmap"]
        argv += ["-device", f"{device},drive={serial},serial={serial}"]
    subprocess.run(argv, timeout=SECONDS, check=True)
    return (folder / "serial.log").read_text(errors="replace")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    environment = build_bundle("debian13-va").folder / "environment"
    return run_guest(environment, tmp_path_factory.mktemp("disks"))


def test_the_disk_engine_on_real_disks(output: str) -> None:
    results = dict(re.findall(r"DISK-TEST (\S+) (ok|FAILED)", output))
    assert len(results) == 10, output[-8000:]
    assert set(results.values()) == {"ok"}, output[output.find("DISK-TEST") :][-8000:]
    assert "DISK-TESTS END 0" in output
