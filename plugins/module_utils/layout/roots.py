# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The root of a slot in a layout document: which volume it is, and how it is mounted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..units import parse_size
from .model import FileSystem, Layout
from .overlay import MEMORY, MODES, NEVER, PERSISTENT, UPPER_KINDS, Overlay, holds_uppers, inside
from .reading import Node, Problems

_ROOT = ("volume", "mode", "data", "memory", "persist")

#: Where data lie whose volume is not named.
DATA_MOUNT = "/data"


def read_root(node: Node, systems: Sequence[FileSystem]) -> tuple[str, Overlay]:
    """Return the volume of a slot's root and how it is mounted: ``root`` is a volume's id or a mapping."""
    value = node.raw("root")
    if not isinstance(value, Mapping):
        return (node.text("root") if value is not None else ""), Overlay()
    root = Node(value, f"{node.path}.root", _ROOT, node.problems)
    mode = root.choice("mode", MODES, "rw")
    persist = tuple(_persistent(item, path, node.problems) for path, item in root.items("persist", required=False))
    if mode == "rw":
        _only(root, (), "the root is written to: nothing lies beside it", node.problems)
        return root.text("volume"), Overlay()
    if mode == "overlay-data":
        _only(root, ("data",), "everything persists already, on the data volume", node.problems)
    data = ""
    if mode == "overlay-data" or persist:
        data = root.text("data", "") or next((one.on for one in systems if one.mount == DATA_MOUNT), "")
        if not data:
            node.problems.add(f"{root.path}.data", f"is missing, and nothing is mounted at {DATA_MOUNT}")
    elif root.has("data"):
        node.problems.add(f"{root.path}.data", "nothing persists; name what does under persist")
    return root.text("volume"), Overlay(mode, data, _memory(root), persist if mode == "overlay-tmpfs" else ())


def check_overlays(layout: Layout, problems: Problems) -> None:
    """Add what of the overlays only the whole layout shows."""
    systems = {system.on: system for system in layout.file_systems}
    taken = {*layout.slots.values(), layout.dispatch}
    for slot, overlay in layout.overlays.items():
        path = f".slots.{slot}.root"
        system = systems.get(overlay.data)
        if overlay.data and (system is None or system.on in taken or not holds_uppers(system)):
            message = f"{overlay.data!r} must hold a mounted file system of kind {' or '.join(UPPER_KINDS)}, made at "
            problems.add(f"{path}.data", message + "convert, and be neither a root nor the dispatch partition")
        for where, message in _places(overlay, {one.mount for one in layout.file_systems if one.mount}):
            problems.add(f"{path}{where}", message)


def _places(overlay: Overlay, mounts: set[str]) -> Iterator[tuple[str, str]]:
    if "/usr" in mounts:
        yield "", "with an overlay, /usr must lie in the root of the slot"
    seen: list[str] = []
    for index, path in enumerate(overlay.persist):
        for other in seen:
            if inside(path, other) or inside(other, path):
                yield f".persist[{index}]", f"{path} and {other} lie in one another"
        for other in sorted(mounts - {"/"}):
            if inside(path, other):
                yield f".persist[{index}]", f"{other} is a file system of its own, which persists"
        seen.append(path)


def _only(root: Node, allowed: Sequence[str], why: str, problems: Problems) -> None:
    for key in ("data", "memory", "persist"):
        if root.has(key) and key not in allowed:
            problems.add(f"{root.path}.{key}", why)


def _persistent(value: object, path: str, problems: Problems) -> str:
    if not isinstance(value, str) or not PERSISTENT.fullmatch(value):
        problems.add(path, "an absolute path of letters, digits and _ . + - is needed, without a slash at its end")
        return "/invalid"
    if any(inside(value, one) for one in NEVER):
        problems.add(path, f"{value} cannot persist: {', '.join(NEVER)} are the kernel's or the dispatcher's own")
    return value


def _memory(root: Node) -> str:
    value = root.raw("memory", required=False)
    if value is None:
        return Overlay().memory
    text = str(value).replace(" ", "") if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if text.endswith("%") and MEMORY.fullmatch(text):
        return text
    try:
        count = parse_size(value) if text and not text.endswith("%") else 0
    except ValueError:
        count = 0
    if count <= 0:
        root.problems.add(
            f"{root.path}.memory", f"not a part of the memory: {value!r} (write for example 50% or 512 MiB)"
        )
        return Overlay().memory
    return str(count)
