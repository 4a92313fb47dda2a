# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The old system as the fallback of the migration: a new system that fails ends in the old one, by itself."""

from __future__ import annotations

import json
import shlex
import time

from .conftest import Host, StartHost, soak

#: From the order to restart to the old system's sshd, under emulation on a busy machine.
BACK_SECONDS = 600.0
#: What an operator would miss: contents, owners and modes of everything but what lives on by itself.
_FIND = (
    "find boot etc home root srv usr/bin usr/sbin var/lib -xdev"
    " ( -path var/lib/dualroot -o -path boot/dualroot -o -path boot/grub -o -path var/lib/systemd"
    " -o -path var/lib/dhcp -o -path var/lib/logrotate -o -path root/.ansible -o -path home/admin/.ansible ) -prune"
    " -o -type f"
)


def data_hash(host: Host) -> str:
    find = _FIND.replace("(", "\\(").replace(")", "\\)")
    script = (
        f"cd / && {{ {find} -printf '%p %m %U %G %s\\n' ; {find} -print0 | xargs -0 sha256sum ; }} | sort | sha256sum"
    )
    return host.machine.ssh(f"sudo sh -c {shlex.quote(script)}", timeout=900).split()[0]


def _root_of(host: Host) -> list[str]:
    return host.machine.ssh("findmnt -no SOURCE,FSTYPE / ; findmnt -bno SIZE /").split()


def _wait_for_old(host: Host, before: str) -> None:
    end = time.monotonic() + BACK_SECONDS
    while time.monotonic() < end:
        try:
            if "dualroot.mode=old" in host.machine.ssh("cat /proc/cmdline", timeout=30) and host.boot_id() != before:
                return
        except Exception:
            # It restarts: no answer, half an answer, the new system for the last time.
            pass
        time.sleep(5)
    raise AssertionError("the old system did not come back")


@soak
def test_a_new_system_that_fails_ends_in_the_old_one_and_a_good_one_takes_its_place(start_host: StartHost) -> None:
    host = start_host()
    host.machine.ssh("sudo sh -c 'head -c 100M /dev/urandom >/srv/customer && chown 33:33 /srv/customer && sync'")
    before, boot_id, was = data_hash(host), host.boot_id(), _root_of(host)

    outcome = host.play(
        "migrate", dualroot_consent=1, dualroot_keep_old="required", dualroot_health_commands=["test -e /nowhere"]
    )
    assert outcome.returncode != 0
    _wait_for_old(host, boot_id)
    found = _root_of(host)
    assert found[:2] == was[:2] == ["/dev/vda1", "ext4"]
    # It filled the disk, and was made smaller.
    assert int(found[2]) < int(was[2]) // 2
    assert data_hash(host) == before
    result = outcome.result(host.name)
    # Whoever is first: the controller, or the new system itself, which has the same check.
    faults = ("verify.unhealthy", "convert.trial_failed")
    assert result["outcome"] == "returned" and result["fault"]["id"] in faults, outcome.output[-4000:]

    outcome = host.play("migrate", dualroot_consent=1, dualroot_keep_old="required")
    assert outcome.returncode == 0, outcome.output[-6000:]
    assert outcome.result(host.name)["outcome"] == "converted"
    plan = outcome.document(host.name, "plan")
    place = plan["keep_old"]["start"]
    # The new system has no sfdisk; lsblk counts in sectors of 512 bytes.
    (disk,) = json.loads(host.machine.ssh("lsblk --json --output NAME,START,PARTLABEL /dev/vda"))["blockdevices"]
    names = {row["start"] * 512: row["partlabel"] for row in disk["children"]}
    # Slot B is where the old root was, and nothing else of it is left.
    assert names[place] == "VB"
    assert sorted(names.values()) == ["VA", "VB", "bios", "dispatch"]
    assert "VB" in host.machine.ssh("sudo vgs --noheadings -o vg_name")
    state = host.machine.ssh("cat /boot/dispatch/state; sudo cat /boot/dispatch/grub/grub.cfg")
    assert "dr_a=good" in state and "dr_b=empty" in state
    assert "dr_boot_old" not in state
