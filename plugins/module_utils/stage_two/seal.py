# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phase seal: the evidence, then the slot's first try, then the one sector that hands over control."""

from __future__ import annotations

import json

from ..archive import marker
from ..archive.durable import sync_file_system, write_file
from ..boot import records
from . import mounting, result
from .configure import run_folder
from .restore import mount_new
from .work import Work

#: Seconds that the controller gets to see the end.
SEEN_SECONDS = 10.0


def run(work: Work) -> None:
    places = work.machine.places
    work.step("mount", lambda: mount_new(work), always=True)
    work.step("marker", lambda: marker.remove(places.new))
    # Again after a cut: it tells of the cut.
    work.step("result", lambda: write_results(work), always=True)
    work.step("records", lambda: tell(work))
    work.step("trying", lambda: work.parts.mark_trying(work.dispatch, work.plan["slot"]))
    work.step("unmount", lambda: unmount(work), always=True)
    work.step("switch", lambda: work.parts.hand_over(work.machine.runner, work.node, work.resolved, work.plan))
    work.status.show("the new system starts next", state="sealed", percent=100)


def write_results(work: Work) -> None:
    """Leave the result with the new system, and with the dispatcher, who outlives a broken slot."""
    document = result.document(work, "converted")
    folder = run_folder(work)
    if work.lifeboat is not None:
        # ``commit`` overwrites by it what the lifeboat holds of the host.
        write_file(folder / "lifeboat.json", json.dumps(work.lifeboat.to_document()).encode() + b"\n", 0o600)
    result.write(work, folder, document)
    folder = work.dispatch / "runs" / work.plan["run_id"]
    folder.mkdir(parents=True, exist_ok=True)
    result.write_document(folder, document)


def tell(work: Work) -> None:
    """Say in the host's records what happened."""
    records.tell(work.dispatch, str(work.plan["slot"]), str(work.plan["run_id"]), "installed", "migrated")


def unmount(work: Work) -> None:
    sync_file_system(work.machine.places.new)
    mounting.unmount(work.machine, work.machine.places.new)
