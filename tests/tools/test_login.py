# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bundle behind an address with a login, with the real ansible-playbook: nothing that it prints has the password."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.guarded_server import HEADER, PASSWORD, USER, guarded
from tests.unit.bundle import bundles

REPOSITORY = Path(__file__).resolve().parents[2]
PLAYBOOK = sorted(Path(sys.executable).parent.glob("ansible-playbook"))
pytestmark = pytest.mark.skipif(not PLAYBOOK, reason="needs ansible-playbook beside this Python")

#: The tasks of every module that is given the address; without a plan all but the first end in a fault.
PLAY = """
- hosts: localhost
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
    dualroot_bundle: {address}
    source: "{{{{ dualroot_bundle_url | default(dualroot_bundle) }}}}"
  tasks:
    - dualroot.migrate.bundle_check:
        bundle: "{{{{ dualroot_bundle }}}}"
        allow_unsigned: true
        cache: {folder}/cache
      register: dualroot_checked
      ignore_errors: true
    - ansible.builtin.import_tasks: {folder}/leave.yml
      when: dualroot_checked is success
    - dualroot.migrate.tar_restore:
        src: "{{{{ source }}}}/payload/rootfs.tar.zst"
        dest: {folder}
      ignore_errors: true
    - dualroot.migrate.slot_install:
        plan: {{}}
        source: "{{{{ source }}}}"
      ignore_errors: true
    - dualroot.migrate.initramfs_stage:
        plan: {{}}
        source: "{{{{ source }}}}"
      ignore_errors: true
    - dualroot.migrate.revive_stage:
        plan: {{}}
        source: "{{{{ source }}}}"
      ignore_errors: true
"""


def run(folder: Path, address: str) -> str:
    """Run the play and return all that it says; the task that leaves the address to later phases is the real one."""
    tasks = (REPOSITORY / "playbooks/tasks/look.yml").read_text(encoding="utf-8").split("\n\n")
    leave = [task for task in tasks if "dualroot_bundle_url:" in task]
    assert len(leave) == 1
    (folder / "leave.yml").write_text("---\n" + leave[0] + "\n", encoding="utf-8")
    (folder / "play.yml").write_text(PLAY.format(address=address, folder=folder), encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_NOCOLOR": "1"}
    argv = [str(PLAYBOOK[0]), "-vvv", "-i", "localhost,", "-c", "local", str(folder / "play.yml")]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_nothing_is_printed_of_a_login_that_works(tmp_path: Path) -> None:
    bundle = bundles.make(tmp_path / "bundle")
    with guarded(bundle) as server:
        said = run(tmp_path, server.address)
        assert server.headers == {HEADER}
        # It was there to be printed: the restore had an answer, and every module shows its arguments.
        assert "payload/rootfs.tar.zst" in {path[len("/gw/") :] for path, _header in server.asked}
    assert said.count('"invocation": {') >= 4
    assert f"127.0.0.1:{server.port}/gw" in said
    login = server.address.partition("://")[2].partition("@")[0]
    assert not [one for one in (login, login.partition(":")[2], PASSWORD, f"{USER}:") if one in said]


def test_nothing_is_printed_of_a_login_that_cannot_be_used(tmp_path: Path) -> None:
    said = run(tmp_path, "http://deploy:hun/ter2@127.0.0.1/gw")
    assert said.count('"invocation": {') >= 4
    assert not [one for one in ("hun/", "'hun", "ter2", "Traceback") if one in said]
