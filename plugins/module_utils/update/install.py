# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Installs a bundle into the slot that does not run; the one that runs is never written.

The target is ``bad`` from before its first write until every byte of it was read back; then one sector makes it
``trying``. A power cut or a failure at any moment leaves a host that boots what it runs now.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..archive import compression, restore
from ..archive.digests import FileDigests
from ..archive.packed import Source
from ..boot import recording, records, slot_state, slots, titles
from ..bundle import proof
from ..capture import document as captures
from ..capture import network
from ..capture.finding import fault_of
from ..disk import sysfs
from ..faults import archive as archive_kinds
from ..faults import update as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedLayout
from ..plan import document as plans
from ..runner import Runner
from . import configure, content, target
from .carry import look
from .progress import Memory, Progress
from .target import Target

LOCK = Path("/run/dualroot/update.lock")


@dataclass(frozen=True)
class Order:
    """What is to be installed; ``source`` is the payload as the plan names it."""

    plan: Mapping[str, Any]
    source: Source
    capture_paths: tuple[str, ...] = ()
    carry_paths: tuple[str, ...] = ()
    health_commands: tuple[str, ...] = ()
    decisive: bool = True


@dataclass(frozen=True)
class Installed:
    """What was done; sizes in bytes, ``bytes`` of the packed payload, ``phases`` as ``Progress`` has them."""

    changed: bool
    state: str
    content_sha256: str = ""
    files: int = 0
    bytes: int = 0
    unpacked_bytes: int = 0
    peak_ram_bytes: int = 0
    phases: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


def done_before(plan: Mapping[str, Any], dispatch: Path = slots.DISPATCH) -> Installed | None:
    """Return what is there where this very plan is installed already, ``None`` otherwise."""
    slot = str(plan["slot"])
    record = records.read_slots(dispatch).get(slot)
    state = slot_state.read(dispatch).state.state_of(slot)
    if record is None or record.run_id != plan["run_id"] or state not in ("trying", "good"):
        return None
    return Installed(False, state, content_sha256=record.content_sha256)


def check(order: Order, dispatch: Path = slots.DISPATCH, root: Path = sysfs.ROOT) -> None:
    """Raise, while nothing is changed, where the plan does not fit the host or the payload cannot be had."""
    plans.check_expiry(order.plan, time.time())
    slots.check_mounted(dispatch)
    now = slots.running(root / "proc/cmdline")
    state = slot_state.read(dispatch).state
    wanted = (order.plan["from_slot"], order.plan["from_run_id"])
    if (now["slot"], now["run_id"]) != wanted or order.plan["slot"] == now["slot"]:
        problem = f"slot {now['slot'] or 'none'} of run {now['run_id'] or 'none'} runs, not {wanted[0]} of {wanted[1]}"
        raise Fault(kinds.PLAN_OLD, problem=problem)
    if state.state_of(now["slot"]) != "good":
        raise Fault(kinds.NOT_GOOD, slot=now["slot"], state=state.state_of(now["slot"]))
    compression.detect_source(order.source)


def install(
    runner: Runner,
    order: Order,
    progress: Progress,
    *,
    dispatch: Path = slots.DISPATCH,
    root: Path = sysfs.ROOT,
    at: Target | None = None,
    lock: Path = LOCK,
) -> Installed:
    """Install the payload and let the dispatcher try it; raises a fault of whatever stands in the way.

    After a fault the target is ``bad`` and unmounted, unless the fault came before the first write. ``at``
    replaces the target that the plan's layout names, for tests.
    """
    layout = ResolvedLayout.from_document(order.plan["layout"])
    goal = at or target.of_layout(layout, str(order.plan["slot"]))
    with locked(lock), Memory() as memory:
        earlier = done_before(order.plan, dispatch)
        if earlier is not None:
            return earlier
        work = _Work(runner, order, progress, dispatch, root, goal, layout)
        try:
            with progress.phase("prepare"):
                capture = work.prepare()
            with progress.phase("restore"):
                restored, expected = work.restore()
            with progress.phase("configure"):
                work.configure(capture)
            with progress.phase("check"):
                found = work.check(expected)
            with progress.phase("mark"):
                work.mark(found)
        finally:
            # The fault that is on its way says more than one of the unmounting.
            with suppress(Fault):
                target.unmount(runner, goal, root)
        memory.look()
        return Installed(
            True,
            "trying",
            found.sha256,
            len(found.entries),
            restored.bytes,
            restored.unpacked_bytes,
            memory.peak,
            tuple(progress.phases),
            restored.notes,
        )


@contextmanager
def locked(path: Path = LOCK) -> Iterator[None]:
    """Keep a second update of this host out; the kernel lets go with the process. Raises ``update.running``."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            process = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise Fault(kinds.BUSY, process=process, lock=path) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        os.close(handle)


@dataclass(frozen=True)
class _Work:
    """The phases of one update, in their order."""

    runner: Runner
    order: Order
    progress: Progress
    dispatch: Path
    root: Path
    target: Target
    layout: ResolvedLayout

    @property
    def plan(self) -> Mapping[str, Any]:
        return self.order.plan

    def prepare(self) -> dict[str, Any]:
        """Check everything, read what is carried over, and give the old content of the slot up."""
        check(self.order, self.dispatch, self.root)
        capture = self._capture()
        target.release(self.runner, self.target, self.root)
        self.progress.step("mark the slot bad")
        self._give_up()
        self.progress.step("make the file system")
        target.make(self.runner, self.target)
        target.mount(self.runner, self.target)
        return capture

    def _capture(self) -> dict[str, Any]:
        self.progress.step("read the running system")
        options = {"login_user": self.plan["login_user"], "extra_paths": self.order.capture_paths}
        capture = captures.read(self.root, self.runner, options)
        problems = [*capture["findings"], *network.render_problems(capture["network"], str(self.plan["renderer"]))]
        refusal = next((one for one in problems if one["severity"] == "refuse"), None)
        if refusal is not None:
            raise fault_of(refusal)
        carried = look(self.order.carry_paths, self.layout, self.root)
        for finding in carried.findings:
            if finding.severity == "refuse":
                raise fault_of(finding.to_document())
        proof.check_machine(self.plan, capture)
        return captures.check(capture, "the running system")

    def _give_up(self) -> None:
        """Nobody boots the slot from here on; a wish to boot it once counts as little as its record."""
        slot = self.target.slot
        following = slot_state.read(self.dispatch).state.next
        slots.mark(
            self.runner,
            slots.Wish(slot=slot, state="bad", next="none" if following == slot else ""),
            self.dispatch,
        )
        with self._writable():
            records.remove_slot(self.dispatch, slot)
            titles.write(self.dispatch)

    def restore(self) -> tuple[restore.Restored, content.Expected]:
        """Stream the payload to the disk."""
        self.progress.step("restore the payload")
        payload = self.plan["payload"]
        digests = FileDigests()
        done = restore.restore(
            self.runner,
            restore.Order(
                source=self.order.source,
                target=self.target.mount,
                sha256=str(payload["sha256"]),
                unpacked_bytes=int(payload["unpacked_bytes"]),
            ),
            self.progress.bytes,
            digests,
        )
        return done, content.Expected(self.target.mount, digests.found)

    def configure(self, capture: Mapping[str, Any]) -> None:
        """Make the restored system a slot of this host."""
        self.progress.step("carry the configuration over")
        result = self._result()
        carried = look(self.order.carry_paths, self.layout, self.root)
        configure.apply(self.runner, self.target.mount, self.plan, capture, carried.paths, result, self.root)
        with self._writable():
            configure.on_dispatch(
                self.target.mount,
                self.dispatch,
                self.plan,
                capture,
                self.order.health_commands,
                self.order.decisive,
                result,
            )

    def _result(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "run_id": plan["run_id"],
            "host": plan["host"],
            "mode": "update",
            "outcome": "installed",
            "fault": None,
            "slot": plan["slot"],
            "from_slot": plan["from_slot"],
            "payload_bytes": plan["payload"]["size"],
            # Whoever leads the run knows all of them; here they are not over.
            "phases": [],
            "bundle": dict(plan["bundle"]),
        }

    def check(self, expected: content.Expected) -> content.Content:
        """Read the whole slot back from the disk and compare it with what was written."""
        self.progress.step("settle what was written")
        wanted = expected.content()
        try:
            target.mount_cold(self.runner, self.target, self.root)
            self.progress.step("read the slot back")
            found = content.read(self.target.mount, lambda done: self.progress.bytes(done, wanted.bytes))
        except OSError as error:
            raise Fault(archive_kinds.NOT_DURABLE, target=self.target.mount, error=error.strerror) from error
        differing = wanted.differences(found)
        if differing:
            shown = ", ".join(differing[:5]) + (", …" if len(differing) > 5 else "")
            raise Fault(kinds.CONTENT_DIFFERS, count=len(differing), slot=self.target.slot, paths=shown)
        return found

    def mark(self, found: content.Content) -> None:
        """Write down what the slot holds, and then, with one sector, that it may be tried."""
        slot, bundle, before = self.target.slot, self.plan["bundle"], self.plan["from_bundle"]
        with self._writable():
            recording.write(self.dispatch, self.target.mount, self.plan, found.sha256)
            reason = f"update from {before['name']} {before['version']} to {bundle['name']} {bundle['version']}"
            records.tell(self.dispatch, slot, str(self.plan["run_id"]), "installed", reason)
        target.unmount(self.runner, self.target, self.root)
        slots.mark(self.runner, slots.Wish(slot=slot, state="trying"), self.dispatch)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """Hold the dispatch file system writable, alone."""
        with slot_state.locked(self.dispatch), slots.writable(self.runner, self.dispatch):
            yield
