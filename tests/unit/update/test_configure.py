# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an update writes to the dispatch file system."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import slot_state
from ansible_collections.dualroot.migrate.plugins.module_utils.update import configure

from tests.unit.update import scene

ADDRESSES = {"interfaces": [{"name": "ens3", "addresses": ["198.51.100.1/24"]}]}
CAPTURE = {**scene.CAPTURE, "network": ADDRESSES}


@pytest.fixture
def dispatch(tmp_path: Path) -> Path:
    (tmp_path / "new/etc").mkdir(parents=True)
    folder = tmp_path / "dispatch"
    (folder / "recovery").mkdir(parents=True, mode=0o700)
    for name in ("vmlinuz", "initrd.img", "host.cpio"):
        (folder / "recovery" / name).write_bytes(b"of the migration")
    slot_state.write(folder, scene.state())
    return folder


def write(dispatch: Path) -> None:
    plan = scene.judged()["plan"]
    configure.on_dispatch(dispatch.parent / "new", dispatch, plan, CAPTURE, (), True, {"outcome": "installed"})


def test_recovery_gets_the_address_and_the_logins_of_now(dispatch: Path) -> None:
    write(dispatch)
    part = dispatch / "recovery/host.cpio"
    assert part.stat().st_mode & 0o777 == 0o600
    content = part.read_bytes()
    assert b"198.51.100.1" in content and b'"name": "admin"' in content
    # Its own plan, whose login user is that of this capture.
    assert scene.NEW_RUN.encode() in content and b'"login_user": "admin"' in content
    assert (dispatch / "recovery/vmlinuz").read_bytes() == b"of the migration"


def test_all_that_is_written(dispatch: Path) -> None:
    before = {path for path in dispatch.rglob("*") if path.is_file()}
    write(dispatch)
    made = {str(path.relative_to(dispatch)) for path in dispatch.rglob("*") if path.is_file() and path not in before}
    assert made == {"trial.cpio", f"runs/{scene.NEW_RUN}/result.json"}


def test_a_host_without_a_recovery_system_gets_none(dispatch: Path) -> None:
    for path in (dispatch / "recovery").iterdir():
        path.unlink()
    (dispatch / "recovery").rmdir()
    write(dispatch)
    assert not (dispatch / "recovery").exists()
