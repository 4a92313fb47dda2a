# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is fuzzed: how an input is read by the code that reads it in earnest, and what must hold then.

``run`` returns what a document was accepted as, or raises the ``Fault`` that refused it. Anything
else that is raised is a failure, and so is a refusal without the path of a field.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.dualroot.migrate.plugins.module_utils import address, shape
from ansible_collections.dualroot.migrate.plugins.module_utils import journal as journals
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import dispatcher, slot_state
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import manifest
from ansible_collections.dualroot.migrate.plugins.module_utils.capture import (
    accounts_merge,
    document,
    network,
    redact,
    secure_shell,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.faults import bundle as bundle_kinds
from ansible_collections.dualroot.migrate.plugins.module_utils.faults import layout as layout_kinds
from ansible_collections.dualroot.migrate.plugins.module_utils.faults import plan as plan_kinds
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout import loader
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedLayout
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.resolve import DiskGeometry, resolve
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import log
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import model as boat
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document as plans
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two import fstab

from tests.support import layouts
from tests.unit.capture.conftest import Host
from tests.unit.plan import documents, sample

#: How a fault names a place of a document: ``.slots.a.root: …``, ``.: …``, ``.partitions[2].size: …``.
PATH = re.compile(r"(?:^|[ ;(])\.(?:[^\s:;]*)?:")
#: A place of the slot state file: the name of a variable, or what is wrong with the whole block.
STATE_PLACE = re.compile(r"dr_\w+:|it has \d+ bytes|does not begin as|is no variable|no text|it reads back")


class Broken(AssertionError):
    """A property does not hold."""


@dataclass(frozen=True)
class Target:
    """One kind of input; ``seeds`` are documents, or bytes where ``raw`` says so.

    ``faults`` are the ids that may refuse it; of those in ``whole`` the path is not asked for, because they are
    about the document as a whole: that it is no JSON, that its digest is another, that the disk is too small.
    """

    name: str
    seeds: Callable[[], list[Any]]
    run: Callable[[Any], object]
    faults: frozenset[str]
    whole: frozenset[str] = field(default=frozenset())
    raw: bool = False
    place: re.Pattern[str] = PATH


def check(target: Target, given: Any) -> str:
    """Run one input; return ``accepted``, or the id of the fault. Raises ``Broken`` or what the code raised."""
    try:
        target.run(given)
    except Fault as fault:
        record = fault.record()
        shown = "\n".join(record.values())
        if fault.id not in target.faults:
            raise Broken(f"refused by {fault.id}, which is about something else: {fault.what[:300]}") from fault
        if fault.id not in target.whole and not target.place.search(fault.what):
            raise Broken(f"the fault names no path: {fault.what[:300]}") from fault
        try:
            shown.encode()
        except UnicodeEncodeError as error:
            raise Broken(f"the fault cannot be printed: {fault.what[:300]!r}") from error
        return fault.id
    return "accepted"


def must(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


# --- layout --------------------------------------------------------------------------------------

_DISKS = (DiskGeometry(8 << 30, 512), DiskGeometry(8 << 30, 4096), DiskGeometry(3 << 40, 512))


def layout_seeds() -> list[Any]:
    return [layouts.document("va"), layouts.document("dual"), documents.layout()]


def layout_run(given: Any) -> object:
    loaded = loader.load(given)
    for disk in _DISKS:
        resolved = resolve(loaded, disk, layouts.RUN_ID)
        text = json.dumps(resolved.to_document())
        must(ResolvedLayout.from_document(json.loads(text)) == resolved, "a resolved layout does not round-trip")
    return loaded


# --- the resolved layout of a plan ---------------------------------------------------------------


def resolved_seeds() -> list[Any]:
    return [layouts.resolved(name, sector_bytes=size).to_document() for name in ("va", "dual") for size in (512, 4096)]


def resolved_run(given: Any) -> object:
    resolved = ResolvedLayout.from_document(given)
    must(ResolvedLayout.from_document(resolved.to_document()) == resolved, "does not round-trip")
    for slot in resolved.slots:
        fstab.render(resolved, slot)
        must(bool(resolved.device("/dev/sda", resolved.slots[slot].root)), "a root has no device")
    must(bool(resolved.file_system(resolved.dispatch).mount), "nothing is mounted from dispatch")
    return resolved


# --- manifest ------------------------------------------------------------------------------------


def manifest_seeds() -> list[Any]:
    second = documents.manifest()
    second["layouts"]["dual"] = {"file": "layouts/dual.json", "sha256": "a" * 64, "size": 1}
    return [documents.manifest(), second]


def manifest_run(given: Any) -> object:
    loaded = manifest.load(given)
    again = manifest.load(json.loads(json.dumps(manifest.to_document(loaded))))
    must(again == loaded, "a manifest does not round-trip")
    list(loaded.files())
    return loaded


def manifest_bytes_seeds() -> list[bytes]:
    return [json.dumps(one, indent=1).encode() for one in manifest_seeds()]


def manifest_bytes_run(given: bytes) -> object:
    try:
        found = shape.parse(given)
    except ValueError as error:
        raise Fault(bundle_kinds.MANIFEST_INVALID, problems=f".: it is not JSON ({ascii(str(error))})") from error
    return manifest_run(found)


# --- plan ----------------------------------------------------------------------------------------


def plan_seeds() -> list[Any]:
    return [sample.plan("va"), sample.plan("dual")]


def plan_run(given: Any) -> object:
    """Freeze what was changed, so that the digest does not hide what lies behind it."""
    frozen = plans.freeze(given) if isinstance(given, dict) else plans.load(given)
    must(plans.load(json.loads(json.dumps(frozen))) == frozen, "a plan does not round-trip")
    resolved = ResolvedLayout.from_document(frozen["layout"])
    dispatcher.render(frozen)
    dispatcher.early_config(frozen)
    fstab.render(resolved, frozen["slot"])
    for moment in (0, 1795201200, 1 << 40):
        try:
            plans.check_expiry(frozen, moment)
        except Fault as fault:
            fault.record()
    return frozen


# --- capture -------------------------------------------------------------------------------------

_PASSWD = (
    "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\nold:x:1000:1000::/home/old:/bin/sh\n"
)
_GROUP = "root:x:0:\nsudo:x:27:\nold:x:1000:\n"


@functools.lru_cache(maxsize=1)
def _captures() -> str:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("debian11-static", "debian11-dhcp", "centos7-two-nics", "ubuntu2204-netplan"):
            host = Host(name, Path(folder) / name)
            paths = ["/opt/gateway"] if name == "debian11-static" else []
            found.append(document.read(host.root, host.runner, {"extra_paths": paths}))
    return json.dumps(found)


def capture_seeds() -> list[Any]:
    found: list[Any] = json.loads(_captures())
    return found


def capture_run(given: Any) -> object:
    loaded = document.check(given, "capture.json")
    must(document.check(json.loads(document.dump(loaded)), "capture.json") == loaded, "a capture does not round-trip")
    for renderer in ("networkd", "ifupdown"):
        for path, text in network.render(loaded["network"], renderer).items():
            must(path.startswith("/etc/") and ".." not in path.split("/"), f"would write {path!r}")
            text.encode("utf-8", "surrogateescape")
    merged = accounts_merge.merge(loaded["accounts"], _PASSWD, "root:*:1::::::\n", _GROUP, shells="/bin/sh")
    for text, width in ((merged.passwd, 7), (merged.shadow, 9), (merged.group, 4)):
        must({line.count(":") + 1 for line in text.splitlines()} <= {width}, f"odd lines in {text!r}")
        text.encode("utf-8", "surrogateescape")
    secure_shell.settings_text(loaded["ssh"], host_key_paths=secure_shell.private_keys(loaded["ssh"]))
    redact.redact(loaded)
    return loaded


# --- slot state ----------------------------------------------------------------------------------


def state_seeds() -> list[bytes]:
    start = slot_state.initial(("a", "b"))
    trying = slot_state.mark_trying(slot_state.mark_good(start, "b"), "a", 2)
    states = [start, trying, slot_state.boot_next(slot_state.mark_good(start, "a"), "r")]
    return [slot_state.serialize(state) for state in states]


@functools.lru_cache(maxsize=1)
def _state_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="dualroot-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def state_run(given: bytes) -> object:
    """Read the input as both copies, so that nothing but it can be believed."""
    folder = _state_folder()
    for name in slot_state.FILE_NAMES:
        (folder / name).write_bytes(given)
    state = slot_state.read(folder).state
    block = slot_state.serialize(state)
    must(len(block) == slot_state.BLOCK_BYTES, "a block of another size")
    must(slot_state.parse(block) == state, "a state does not round-trip")
    must(state.choice() in (*slot_state.SLOTS, slot_state.RECOVERY), "a choice that is none")
    return state


# --- lifeboat.json and the two journals ----------------------------------------------------------

_MIB = 1 << 20


def lifeboat_seeds() -> list[Any]:
    sizes = dict(zip(boat.PARTS, (8 * _MIB, 50 * _MIB, 20480, 180 * _MIB, boat.JOURNAL_BYTES, boat.CORE_BYTES)))
    found = []
    for areas in ([boat.Extent(4 << 30, 1 << 30)], [boat.Extent((4 + n) << 30, 20 * _MIB) for n in range(20)]):
        if len(areas) > 1:
            areas.append(boat.Extent(30 << 30, 60 * _MIB))
        places = boat.place(sizes, areas)
        parts = {
            name: boat.Part(name, size, "" if name in ("host", "journal", "core") else "c" * 64, places[name])
            for name, size in sizes.items()
        }
        found.append(boat.Lifeboat(layouts.RUN_ID, "d" * 64, 32 << 30, 512, parts).to_document())
    return found


def lifeboat_run(given: Any) -> object:
    loaded = boat.Lifeboat.from_document(given)
    again = boat.Lifeboat.from_document(json.loads(json.dumps(loaded.to_document())))
    must(again == loaded, "a lifeboat does not round-trip")
    for name in boat.PARTS:
        part = loaded.part(name)
        must(sum(one.length for one in part.extents) >= part.size, f"{name} has less room than content")
        must(all(one.end <= loaded.disk_bytes for one in part.extents), f"{name} lies beyond the disk")
    return loaded


def disk_journal_seeds() -> list[bytes]:
    nonce, header = b"12345678", {"run_id": layouts.RUN_ID, "plan_digest": "d" * 64}
    records = [{"phase": "restore", "step": f"step{number}", "event": "done"} for number in range(1, 6)]
    blocks = [log.encode(nonce, number, one) for number, one in enumerate([header, *records])]
    return [b"".join(blocks), b"".join(blocks[:2]) + blocks[5], blocks[0]]


def disk_journal_run(given: bytes) -> object:
    """Read the input as a journal of eight records; what counts must have been written whole."""
    path = _state_folder() / "disk"
    path.write_bytes(given[: 8 * boat.BLOCK].ljust(8 * boat.BLOCK, b"\0"))
    part = boat.Part("journal", 8 * boat.BLOCK, "", (boat.Extent(0, 8 * boat.BLOCK),))
    journal = log.load(path, part, layouts.RUN_ID, "d" * 64)
    must(0 <= journal.room < 8, "an impossible room")
    must(all(isinstance(one, dict) for one in journal.records), "a record that is no mapping")
    return journal


def journal_seeds() -> list[bytes]:
    lines = [{"time": 1.5, "phase": "restore", "step": "extract", "event": event} for event in ("start", "done")]
    return [
        b"".join(json.dumps(line).encode() + b"\n" for line in [*lines, {**lines[1], "seconds": 2.5, "detail": {}}])
    ]


def journal_run(given: bytes) -> object:
    """A line that cannot be read is passed over; nothing of a journal is ever refused."""
    path = _state_folder() / "journal.jsonl"
    path.write_bytes(given)
    entries = journals.read(path)
    journals.finished(entries)
    json.dumps([entry.to_document() for entry in entries])
    return entries


# --- the address of a bundle -----------------------------------------------------------------------


def address_seeds() -> list[bytes]:
    return [
        b"https://gw:p%40ss@bundles.example.com:8443/va/1.2?token=abc#part",
        b"http://user@[2001:db8::1]/va",
        b"HTTPS://a:b%2Fc@192.0.2.1/d",
        b"http://bundles.example.com/va",
    ]


def address_run(given: bytes) -> object:
    """Nothing of a login is shown, whether or not the address can be used; what can be used keeps its login."""
    source = given.decode("utf-8", "surrogateescape")
    secrets = address.secrets_of(source)
    must(not any(secret in address.shown(source) for secret in secrets), "a secret is shown")
    try:
        plain, login = address.without_login(source)
    except address.BadAddress as error:
        # As bundle.source says it, which would ask a server for every other input.
        fault = Fault(bundle_kinds.UNREACHABLE, bundle=address.shown(source), file="manifest.json", reason=str(error))
        must(not any(secret in text for secret in secrets for text in fault.record().values()), "a fault has a secret")
        raise fault from error
    must("@" not in urlsplit(plain).netloc, "a login is left in the address")
    must(not login or b":" in login, "a login has no colon")
    must(address.authorization(login).isascii(), "a header is no ASCII")
    below, again = address.without_login(address.address_of(source, "manifest.json"))
    must(again == login, "a file of the bundle has another login")
    must(below.partition("?")[0].endswith("/manifest.json"), "a file of the bundle lies elsewhere")
    return plain


def clean_up() -> None:
    """Remove what the targets left in memory file systems."""
    if _state_folder.cache_info().currsize:
        shutil.rmtree(_state_folder(), ignore_errors=True)
        _state_folder.cache_clear()


_LAYOUT_FAULTS = frozenset(kind.id for kind in (layout_kinds.DISK_TOO_SMALL, layout_kinds.GROUP_TOO_SMALL))
_ALL = (
    Target(
        "layout", layout_seeds, layout_run, frozenset({layout_kinds.INVALID.id, *_LAYOUT_FAULTS}), whole=_LAYOUT_FAULTS
    ),
    Target("resolved", resolved_seeds, resolved_run, frozenset({layout_kinds.UNREADABLE.id})),
    Target(
        "manifest",
        manifest_seeds,
        manifest_run,
        frozenset({bundle_kinds.MANIFEST_INVALID.id, bundle_kinds.ARCHITECTURE.id}),
        whole=frozenset({bundle_kinds.ARCHITECTURE.id}),
    ),
    Target(
        "manifest-bytes",
        manifest_bytes_seeds,
        manifest_bytes_run,
        frozenset({bundle_kinds.MANIFEST_INVALID.id, bundle_kinds.ARCHITECTURE.id}),
        whole=frozenset({bundle_kinds.ARCHITECTURE.id}),
        raw=True,
    ),
    Target("plan", plan_seeds, plan_run, frozenset({plan_kinds.INVALID.id, layout_kinds.UNREADABLE.id})),
    Target("capture", capture_seeds, capture_run, frozenset({"capture.document_invalid"})),
    Target("lifeboat", lifeboat_seeds, lifeboat_run, frozenset({"lifeboat.invalid"})),
    Target(
        "disk-journal",
        disk_journal_seeds,
        disk_journal_run,
        frozenset({"lifeboat.journal"}),
        whole=frozenset({"lifeboat.journal"}),
        raw=True,
    ),
    Target(
        "address",
        address_seeds,
        address_run,
        frozenset({bundle_kinds.UNREACHABLE.id}),
        whole=frozenset({bundle_kinds.UNREACHABLE.id}),
        raw=True,
    ),
    Target("journal", journal_seeds, journal_run, frozenset(), raw=True),
    Target("state", state_seeds, state_run, frozenset({"boot.state_lost"}), raw=True, place=STATE_PLACE),
)
TARGETS = {target.name: target for target in _ALL}
