# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stage for stage two: a scratch root, fake parts, a clock that moves only when someone sleeps."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.archive.packed import packed
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.command import FAILED
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedLayout
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import disk, log
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent, Lifeboat, Part
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document as plans
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import Result
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two.machine import Machine
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two.places import Places
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two.program import main

from tests.support.fake_runner import FakeRunner
from tests.support.layouts import RUN_ID, resolved

CANARY = "$y$canary-password-hash"
UUID = "0a0a0a0a-0000-4000-8000-000000000001"
PAYLOAD, KERNEL, INITRD = b"payload" * 1000, b"kernel", b"initrd" * 50
MIB = 1 << 20
#: Where the clock of a test ends, in seconds: later than any wait that a test means.
PATIENCE = 100_000.0


def broken(word: str = "it broke") -> Fault:
    return Fault(FAILED, command=word, returncode=1, stderr=word)


def described(content: bytes, name: str) -> dict[str, Any]:
    return {"file": name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def plan(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "version": 1,
        "run_id": RUN_ID,
        "host": "gw1",
        "mode": "convert",
        "attended": True,
        "go_timeout": 60,
        "trial_limit": 900,
        "created": 1000,
        "expires": 90000,
        "bundle": {"name": "gateway", "version": "2", "manifest_sha256": "m", "signed_by": ""},
        "machine": {"hostname": "gw1", "id": ""},
        "payload": {**described(PAYLOAD, "rootfs.tar.zst"), "compression": "zstd", "unpacked_bytes": 9},
        "environment": {"kernel": described(KERNEL, "vmlinuz"), "initrd": described(INITRD, "initrd.img")},
        "disk": {
            "serial": "S1",
            "wwn": "",
            "by_id": [],
            "size_bytes": 8 << 30,
            "sector_bytes": 512,
            "table": "dos",
            "table_id": "0x1",
            "root_uuid": UUID,
            "name": "/dev/vda",
        },
        "staging": {
            "uuid": UUID,
            "fstype": "ext4",
            "directory": "/var/lib/dualroot/stage",
            "run_directory": f"/var/lib/dualroot/runs/{RUN_ID}",
        },
        "layout": resolved().to_document(),
        "slot": "a",
        "firmware": "bios",
        "renderer": "networkd",
        "esp": None,
        "kernel_arguments": ["console=ttyS0"],
        "login_user": "admin",
        "lifeboat": {"wish": "none", "used": False, "needed_bytes": 0, "allowed": [], "gaps": [], "swaps": []},
        "predicted": {},
    }
    document.update(changes)
    return plans.freeze(document)


CAPTURE = {"version": 1, "network": {"interfaces": []}, "accounts": {"users": [{"hash": CANARY}]}}


class FakeParts:
    """Remembers its calls; ``faults[name]`` is a list of errors to raise, one a call."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.faults: dict[str, list[Exception]] = {}
        self.users: list[str] = []
        self.when: dict[str, Callable[[], None]] = {}
        #: What stands for the disk's bytes, where a lifeboat is.
        self.disk = Path()
        self.flushed: list[tuple[str, int]] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.when:
            self.when[name]()
        if self.faults.get(name):
            raise self.faults[name].pop(0)

    def load_plan(self, document: Any, now: float | None) -> dict[str, Any]:
        loaded = plans.load(document)
        if now is not None:
            plans.check_expiry(loaded, now)
        return loaded

    def load_capture(self, document: Any) -> dict[str, Any]:
        return dict(document)

    def check_proof(self, runner: Any, folder: Path, plan: Mapping[str, Any], capture: Mapping[str, Any]) -> None:
        self._call(f"check_proof {folder.name}")

    def layout(self, document: Any) -> ResolvedLayout:
        return ResolvedLayout.from_document(document)

    def bring_up_network(self, runner: Any, network: Any) -> None:
        self._call("network")

    def prepare_login(self, capture: Any, login_user: str) -> None:
        self._call(f"login {login_user}")

    def find_disk(self, runner: Any, identity: Mapping[str, Any], new_disk_guid: str) -> str:
        self._call("find_disk")
        return "/dev/vda"

    def disk_users(self, node: str) -> list[str]:
        self._call(f"disk_users {node}")
        return self.users

    def describe_change(self, node: str, layout: Any) -> str:
        self._call("describe_change")
        return "replace table"

    def check_ahead(self, runner: Any, node: str, layout: Any, plan: Mapping[str, Any]) -> None:
        self._call("check_ahead")

    def tear_down(self, runner: Any, node: str, keep: Sequence[str], keep_at: Sequence[int]) -> None:
        self._call(" ".join(["tear_down", node, *keep, *map(str, keep_at)]))

    def offer_old(self, dispatch: Path, plan: Mapping[str, Any]) -> None:
        self._call(f"offer_old {dispatch.name}")

    def apply_table(self, runner: Any, node: str, layout: Any) -> None:
        self._call(f"apply_table {node}")

    def ensure_volumes(self, runner: Any, node: str, layout: Any) -> None:
        self._call(f"ensure_volumes {node}")

    def restore(self, runner: Any, order: Any, progress: Callable[[int, int], None]) -> Mapping[str, Any]:
        with contextlib.closing(packed(order.source).open()) as reader:
            content = memoryview(bytearray(reader.size))
            count = reader.readinto(content)
            count += reader.readinto(content[count:])
            assert (count, bytes(content)) == (len(PAYLOAD), PAYLOAD)
        assert order.trusted == isinstance(order.source, Path)
        progress(len(PAYLOAD), len(PAYLOAD))
        self._call(f"restore {order.target.name} {order.sha256[:4]}")
        (order.target / "etc").mkdir(exist_ok=True)
        (order.target / ".dualroot-restore").write_text("{}")
        return {}

    def configure(self, runner: Any, root: Path, capture: Any, renderer: str) -> list[str]:
        self._call(f"configure {renderer}")
        return []

    def redact(self, capture: Any) -> Mapping[str, Any]:
        return {"version": 1}

    def install_boot(self, runner: Any, layout: Any, node: str, dispatch: Path, *rest: Any) -> None:
        environment: Path = rest[2]
        assert (environment / "vmlinuz").read_bytes() == KERNEL
        assert (environment / "initrd.img").read_bytes() == INITRD
        self._call(f"install_boot {dispatch.name}")

    def mark_trying(self, dispatch: Path, slot: str) -> None:
        self._call(f"mark_trying {slot}")

    def lifeboat(self, document: Any) -> Lifeboat:
        return Lifeboat.from_document(document)

    def find_lifeboat(self, lifeboat: Lifeboat, identity: Mapping[str, Any]) -> str:
        self._call(f"find_lifeboat {identity['serial']}")
        return "/dev/vdb"

    def create_journal(self, node: str, lifeboat: Lifeboat) -> log.DiskJournal:
        self._call(f"create_journal {node}")
        return log.create(self.disk, lifeboat.part("journal"), lifeboat.run_id, lifeboat.plan_digest)

    def load_journal(self, node: str, lifeboat: Lifeboat) -> log.DiskJournal:
        self._call(f"load_journal {node}")
        return log.load(self.disk, lifeboat.part("journal"), lifeboat.run_id, lifeboat.plan_digest)

    def verify_part(self, node: str, part: Part, progress: Callable[[int, int], None]) -> None:
        self._call(f"verify {part.name}")
        disk.verify_part(self.disk, part, progress)

    def write_part(self, node: str, part: Part, source: Any, progress: Any = None) -> None:
        self._call(f"write {part.name}")
        disk.write_part(self.disk, part, source, progress)

    def require_places(self, node: str, lifeboat: Lifeboat, plan: Any, folder: Path, device: str) -> None:
        assert folder.name == "dualroot" and "old" in folder.parts
        self._call(f"places {device}")

    def shred_part(self, node: str, part: Part, swaps: Sequence[Sequence[int]]) -> None:
        self._call(f"shred {part.name} {len(swaps)}")

    def read_part(self, node: str, part: Part) -> bytes:
        return b"".join(map(bytes, disk.read_extents(self.disk, part.extents, part.size)))

    def copy_part(self, node: str, part: Part, target: Path, progress: Callable[[int, int], None]) -> None:
        disk.copy_part(self.disk, part, target, progress)

    def packed(self, node: str, lifeboat: Lifeboat) -> disk.PackedPart:
        return disk.PackedPart(str(self.disk), lifeboat.part("payload"))

    def prepare_lifeboat(self, runner: Any, node: str, layout: Any, plan: Any, lifeboat: Lifeboat) -> None:
        self._call(f"prepare_lifeboat {node}")

    def take_control(self, runner: Any, node: str, layout: Any, plan: Any, lifeboat: Lifeboat) -> None:
        self._call(f"take_control {node}")

    def settle_after_return(self, runner: Any, node: str, layout: Any, plan: Any) -> None:
        self._call(f"settle_after_return {node}")

    def require_control(self, runner: Any, node: str, layout: Any, plan: Any, lifeboat: Lifeboat) -> None:
        self._call(f"require_control {node}")

    def in_control(self, layout: Any, plan: Mapping[str, Any]) -> bool:
        return bool(plan["firmware"] == "bios")

    def withdraw(self, runner: Any, node: str, layout: Any, plan: Any) -> None:
        self._call(f"withdraw {node}")

    def forget_volumes(self, runner: Any, node: str, layout: Any, keep: Sequence[str]) -> None:
        self._call(" ".join(["forget_volumes", node, *keep]))

    def activate(self, runner: Any, layout: Any) -> None:
        self._call("activate")

    def make_file_systems(self, runner: Any, node: str, layout: Any, systems: Any, keep: Sequence[str]) -> None:
        self._call(" ".join(["make_file_systems", *(one.on for one in systems), *keep]))

    def flush(self, node: str, mounts: Sequence[str]) -> None:
        self.flushed.append((node, len(mounts)))

    def hand_over(self, runner: Any, node: str, layout: Any, plan: Any) -> None:
        self._call(f"hand_over {node}")


#: Places of the parts on the stand-in for the disk, in the order of ``PARTS``; the payload in two pieces.
_PLACES = {
    "kernel": [(8 * MIB, 4096)],
    "initrd": [(9 * MIB, 4096)],
    "host": [(10 * MIB, MIB)],
    "payload": [(12 * MIB, 4096), (11 * MIB, 4096)],
    "journal": [(16 * MIB, 4 * MIB)],
    "core": [(20 * MIB, MIB)],
}
#: Where a test's plan has the old system's swap, if it has one.
SWAP = [11 * MIB, 2 * MIB]


def lifeboat_plan(swaps: Sequence[Sequence[int]] = (), **changes: Any) -> dict[str, Any]:
    wish = {"wish": "required", "used": True, "needed_bytes": 1, "allowed": [], "gaps": [], "swaps": list(swaps)}
    return plan(lifeboat=wish, **changes)


def lifeboat_of(document: Mapping[str, Any]) -> Lifeboat:
    """Return the lifeboat of a plan; nothing of it is on the disk yet."""
    contents = {"kernel": KERNEL, "initrd": INITRD, "payload": PAYLOAD}
    parts = {}
    for name, places in _PLACES.items():
        extents = tuple(Extent(*place) for place in places)
        content = contents.get(name)
        size = sum(one.length for one in extents) if content is None else len(content)
        digest = "" if content is None else hashlib.sha256(content).hexdigest()
        parts[name] = Part(name, size, digest, extents)
    return Lifeboat(document["run_id"], document["digest"], document["disk"]["size_bytes"], 512, parts)


class Stage:
    """Everything that a test of the program needs; ``run`` starts it as the first process would."""

    def __init__(self, root: Path, document: dict[str, Any] | None = None) -> None:
        self.root = root
        self.places = Places(root)
        self.plan = document or plan()
        self.parts = FakeParts()
        self.now = 2000.0
        self.lines: list[str] = []
        self.reboots = 0
        self.boots = 1
        self.at: list[tuple[float, Callable[[], None]]] = []
        self.mounts: list[str] = []
        #: The scripts that were run, and what each printed.
        self.programs: list[str] = []
        self.told = ""
        self.runner = FakeRunner(handler=self._command)
        self._fill()
        self.machine = Machine(
            self.runner,
            self.places,
            clock=lambda: self.now,
            monotonic=lambda: self.now,
            sleep=self.sleep,
            say=self.lines.append,
            reboot=self._reboot,
        )

    def _fill(self) -> None:
        for name in ("etc/dualroot", "proc/sys/kernel/random", "proc/sys/vm", "run/dualroot/old", "run/sshd"):
            (self.root / name).mkdir(parents=True)
        self.write("proc/cmdline", f"dualroot.mode=convert dualroot.run={self.plan['run_id']} gpt panic=30\n")
        self.write("proc/sys/kernel/random/boot_id", "boot-1\n")
        self.write("proc/sys/vm/dirty_bytes", "0")
        self.write("proc/sys/kernel/panic_on_oops", "1")
        self.memory(1000 * MIB, 900 * MIB)
        self.write("etc/dualroot/plan.json", json.dumps(self.plan))
        self.write("etc/dualroot/capture.json", json.dumps(CAPTURE))
        self.old("var/lib/dualroot/stage/rootfs.tar.zst", PAYLOAD)
        self.old("boot/dualroot/vmlinuz", KERNEL)
        self.old("boot/dualroot/initrd.img", INITRD)
        (self.places.old / self.plan["staging"]["run_directory"].lstrip("/")).mkdir(parents=True)
        self._show_mounts()

    def give_lifeboat(self, stowed: Sequence[str] = ("kernel", "initrd", "payload", "host")) -> Lifeboat:
        """Put the parts on the disk as stage one does; those that are not ``stowed`` wait for stage two."""
        lifeboat = lifeboat_of(self.plan)
        self.parts.disk = self.root / "disk"
        with self.parts.disk.open("wb") as file:
            file.truncate(32 * MIB)
        self.write("etc/dualroot/lifeboat.json", json.dumps(lifeboat.to_document()))
        folder = self.places.configuration
        host = b"".join((folder / name).read_bytes() for name in ("plan.json", "capture.json", "lifeboat.json"))
        self.old("boot/dualroot/host.cpio", host)
        contents = {"kernel": KERNEL, "initrd": INITRD, "payload": PAYLOAD, "host": host}
        for name in stowed:
            content = contents[name]
            if name == "host":
                content = content.ljust(lifeboat.part("host").size, b"\0")
            disk.write_part(self.parts.disk, lifeboat.part(name), [content])
        return lifeboat

    def cut(self) -> Stage:
        """Start the machine again from the lifeboat: what was in memory is gone."""
        for path in sorted(self.places.run.glob("*")):
            if path.is_file():
                path.unlink()
        self.mounts.clear()
        self._show_mounts()
        self.at.clear()
        self.parts.calls.clear()
        self.boots += 1
        self.write("proc/sys/kernel/random/boot_id", f"boot-{self.boots}\n")
        self.write(
            "proc/cmdline",
            f"dualroot.mode=convert dualroot.run={self.plan['run_id']} dualroot.resume=1 gpt panic=30\n",
        )
        return self

    def write(self, name: str, content: str) -> None:
        (self.root / name).write_text(content)

    def old(self, name: str, content: bytes) -> None:
        path = self.places.old / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def memory(self, total: int, available: int) -> None:
        """Leave ``available`` free, as the kernel and as we count; 30 MiB of it hold clean cache."""
        fields = {
            "MemTotal": total,
            "MemFree": available - 30 * MIB,
            "MemAvailable": available,
            "Buffers": 5 * MIB,
            "Cached": 40 * MIB,
            "Dirty": 2 * MIB,
            "Writeback": 1 * MIB,
            "Shmem": 20 * MIB,
            "SReclaimable": 8 * MIB,
            "HugePages_Total": 0,
        }
        self.write("proc/meminfo", "".join(f"{name}: {value // 1024} kB\n" for name, value in fields.items()))

    def go(self, after: float = 3.0, digest: str | None = None) -> Stage:
        text = self.plan["digest"] if digest is None else digest
        self.at.append((self.now + after, lambda: self.write("run/dualroot/go", f"{text}\n")))
        return self

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > PATIENCE:
            # It waits for a person that the test does not send, and the clock is nobody's: it would never end.
            pytest.fail(f"stage two still waits at {PATIENCE} s: {self.lines[-3:]}")
        due = [entry for entry in self.at if entry[0] <= self.now]
        self.at = [entry for entry in self.at if entry[0] > self.now]
        for _when, action in due:
            action()

    def run(self) -> int:
        return main(self.machine, self.parts)  # type: ignore[arg-type]

    def _reboot(self) -> None:
        self.reboots += 1

    def _command(self, argv: Sequence[str], stdin: bytes | None) -> Any:
        if argv[0] == "mount":
            self.mounts.append(argv[-1])
        elif argv[0] == "umount":
            self.mounts.remove(argv[1])
        elif argv[0] == "blkid":
            return "/dev/vda1\n"
        elif argv[0] == "sh":
            self.programs.append(argv[1])
            return self.told
        elif argv[0] not in ("udevadm", "/usr/sbin/sshd"):
            raise AssertionError(argv)
        self._show_mounts()
        return Result(tuple(argv), 0)

    def _show_mounts(self) -> None:
        rows = [f"1 0 0:1 / {at} rw - x x rw\n" for at in self.mounts]
        self.write("proc/self_mountinfo", "".join(rows))
        (self.root / "proc/self").mkdir(exist_ok=True)
        os.replace(self.root / "proc/self_mountinfo", self.root / "proc/self/mountinfo")

    @property
    def status(self) -> dict[str, Any]:
        return json.loads((self.places.run / "status.json").read_text())

    @property
    def journal(self) -> list[tuple[str, str, str]]:
        lines = (self.places.run / "journal.jsonl").read_text().splitlines()
        return [(one["phase"], one["step"], one["event"]) for one in map(json.loads, lines)]

    @property
    def result_in_old(self) -> dict[str, Any]:
        folder = self.places.old / self.plan["staging"]["run_directory"].lstrip("/")
        return json.loads((folder / "result.json").read_text())
