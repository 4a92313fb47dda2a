# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guard at the end of a batch, with the real ansible-playbook: a lost host stops the rollout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PLAYBOOK = sorted(Path(sys.executable).parent.glob("ansible-playbook"))

PLAY = """
- hosts: all
  gather_facts: false
  strategy: linear
  serial: [2, 2]
  vars:
    dualroot_report_folder: {folder}
  tasks:
    - ansible.builtin.set_fact:
        dualroot_run_id: 20260101T000000Z-000001
        dualroot_batch: "{{{{ ansible_play_batch }}}}"
    - ansible.builtin.raw: "{{{{ work | default('true') }}}}"
    - ansible.builtin.import_tasks: {tasks}/guard.yml
"""


def run(tmp_path, hosts):
    """Run the play over hosts given as lines of an inventory; return the finished process."""
    (tmp_path / "play.yml").write_text(
        PLAY.format(folder=tmp_path / "report", tasks=REPOSITORY / "playbooks/tasks"), encoding="utf-8"
    )
    (tmp_path / "hosts").write_text("\n".join(hosts) + "\n", encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [str(PLAYBOOK[0]), "-i", str(tmp_path / "hosts"), str(tmp_path / "play.yml")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


LOCAL = "ansible_connection=local"
# Nothing listens on the discard port of the loopback.
UNREACHABLE = "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=9 ansible_ssh_common_args='-F none'"

pytestmark = pytest.mark.skipif(not PLAYBOOK, reason="needs ansible-playbook beside this Python")


def test_all_batches_run_where_nothing_is_lost(tmp_path):
    done = run(tmp_path, [f"h{number} {LOCAL}" for number in range(4)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "h3 " in done.stdout


@pytest.mark.parametrize("lost", [UNREACHABLE, f"{LOCAL} work=false"], ids=["unreachable", "failed"])
def test_a_lost_host_stops_the_rollout(tmp_path, lost):
    done = run(tmp_path, [f"h0 {LOCAL}", f"h1 {lost}", f"h2 {LOCAL}", f"h3 {LOCAL}"])
    assert done.returncode != 0
    assert "The batch lost h1 on the way" in done.stdout + done.stderr
    recap = done.stdout.partition("PLAY RECAP")[2]
    assert "h0 " in recap
    assert "h2 " not in recap
