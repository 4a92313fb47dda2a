# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Preflight refuses with everything at once, says what to do, and changes nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import signature
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from tests.lab.bundles import Bundle
from tests.lab.hardware import CLONE
from tests.lab.playbook import Outcome

from .conftest import Host, StartHost

#: What a staged run leaves; after a refusal none of it may be there.
STAGED = ("/var/lib/dualroot/stage", "/boot/dualroot")


@pytest.fixture(scope="module")
def host(start_host: StartHost) -> Iterator[Host]:
    """One host for all refusals: that it is still the same afterwards is part of the test."""
    host = start_host()
    before = _state(host)
    yield host
    assert _state(host) == before


def _state(host: Host) -> str:
    """Return what would show that a run was started: the boot, staged files, boot loader, partition table."""
    return host.machine.ssh(
        "cat /proc/sys/kernel/random/boot_id; sudo sha256sum /boot/grub/grub.cfg /boot/grub/grubenv;"
        f"sudo ls -d {' '.join(STAGED)} 2>/dev/null; sudo head -c 1048576 /dev/vda | sha256sum"
    )


def _refusals(outcome: Outcome, host: Host) -> dict[str, dict[str, Any]]:
    findings = outcome.pick(host.name, "preflight", "findings[?severity == 'refuse']")
    return {finding["id"]: finding for finding in findings}


def _assert_fault(outcome: Outcome, fault: str) -> None:
    """The play ended with this fault; its record is in the output, with a remedy."""
    assert outcome.returncode != 0
    assert fault in outcome.output
    assert "how:" in outcome.output or '"how":' in outcome.output


def test_nothing_stands_in_the_way_of_the_host_itself(host: Host) -> None:
    outcome = host.play("preflight")
    assert outcome.returncode == 0, outcome.output[-3000:]
    assert _refusals(outcome, host) == {}


def test_without_consent_migrate_ends_after_the_plan(host: Host) -> None:
    outcome = host.play("migrate")
    assert outcome.returncode == 0, outcome.output[-3000:]
    assert "Nothing was changed" in outcome.output
    assert "downtime" in outcome.output
    plan = outcome.document(host.name, "plan")
    assert plan["layout"]["name"] == "va"
    # The lifeboat is the default; its place is shown, and promised only where partition vb will be.
    assert plan["lifeboat"]["used"], plan["lifeboat"]
    assert "in free blocks of the old root" in outcome.output
    assert plan["predicted"]["peak_ram_bytes"] < 400 << 20
    behind = plan["layout"]["partitions"][-1]["start_lba"] * 512
    assert [start > behind for start, _length in plan["lifeboat"]["allowed"]] == [True]


@pytest.mark.parametrize("consent", [2, "yes"])
def test_wrong_consent(host: Host, consent: Any) -> None:
    _assert_fault(host.play("migrate", dualroot_consent=consent), "plan.consent_wrong")


def test_too_little_space_and_a_network_that_cannot_be_rendered_are_found_together(host: Host) -> None:
    ssh = host.machine.ssh
    # Without the blocks that ext4 keeps for root, so that the login can still write its temporary files.
    ssh("sudo tune2fs -m 0 /dev/vda1")
    ssh("sudo sh -c 'fallocate -l $(( $(stat -f -c %a / ) * 4096 - 60000000 )) /var/tmp/full'")
    ssh("printf 'auto ppp0\\niface ppp0 inet ppp\\n    provider dsl\\n' | sudo tee /etc/network/interfaces.d/dsl")
    try:
        outcome = host.play("preflight")
    finally:
        ssh("sudo rm /var/tmp/full /etc/network/interfaces.d/dsl")
    refusals = _refusals(outcome, host)
    assert outcome.returncode != 0
    assert "preflight.staging_space" in refusals
    assert "MiB are missing" in refusals["preflight.lifeboat_no_room"]["what"]
    assert any("ppp" in finding["what"] for finding in refusals.values())
    # Every reason is on the screen, with its way out.
    for finding in refusals.values():
        assert finding["what"] in outcome.output
        assert finding["how"] in outcome.output


@pytest.fixture
def own_bundle(bundle: Bundle, tmp_path: Path) -> Bundle:
    """A copy of the bundle that a test may spoil."""
    folder = tmp_path / "bundle"
    shutil.copytree(bundle.folder, folder, copy_function=_link)
    return replace(bundle, folder=folder)


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def _rewrite(path: Path, content: bytes) -> None:
    """Replace a file that may be a link to the original's."""
    path.unlink()
    path.write_bytes(content)


def _sign(bundle: Bundle) -> None:
    manifest = bundle.folder / "manifest.json"
    signature.sign(CommandRunner(), manifest, bundle.folder / "manifest.json.cms", bundle.key, bundle.certificate)


def test_a_payload_with_one_flipped_bit(host: Host, own_bundle: Bundle) -> None:
    payload = next((own_bundle.folder / "payload").iterdir())
    content = bytearray(payload.read_bytes())
    content[len(content) // 2] ^= 1
    _rewrite(payload, bytes(content))
    outcome = Host(host.machine, own_bundle, host.reports).play("preflight")
    _assert_fault(outcome, "bundle.altered")
    assert payload.name in outcome.output


def test_a_signature_of_another_key(host: Host, own_bundle: Bundle, tmp_path: Path) -> None:
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    argv += ["-subj", "/CN=somebody else", "-keyout", "other.key", "-out", "other.pem"]
    subprocess.run(argv, cwd=tmp_path, stderr=subprocess.DEVNULL, check=True)
    _sign(replace(own_bundle, certificate=tmp_path / "other.pem", key=tmp_path / "other.key"))
    outcome = Host(host.machine, own_bundle, host.reports).play("preflight")
    _assert_fault(outcome, "bundle.signature_wrong")


def test_a_layout_with_an_unknown_key(host: Host, tmp_path: Path) -> None:
    layout = json.loads((host.bundle.folder / "layouts/va.json").read_text())
    layout["partitions"][1]["colour"] = "red"
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(layout))
    outcome = host.play("preflight", dualroot_layout=str(path))
    assert outcome.returncode != 0
    assert ".partitions[1].colour" in outcome.output


def test_a_bundle_of_another_architecture(host: Host, own_bundle: Bundle) -> None:
    manifest = json.loads((own_bundle.folder / "manifest.json").read_text())
    manifest["architecture"] = "aarch64"
    _rewrite(own_bundle.folder / "manifest.json", json.dumps(manifest).encode())
    _sign(own_bundle)
    outcome = Host(host.machine, own_bundle, host.reports).play("preflight")
    assert outcome.returncode != 0
    assert "architecture" in outcome.output
    assert "aarch64" in outcome.output


def test_too_little_memory_and_a_twin_of_the_system_disk(start_host: StartHost) -> None:
    host = start_host(memory_mib=300, extra_disks=(CLONE,))
    before = _state(host)
    outcome = host.play("preflight")
    refusals = set(_refusals(outcome, host))
    assert outcome.returncode != 0
    assert "preflight.memory_too_small" in refusals
    assert refusals & {"preflight.root_uuid_twice", "preflight.system_disk_doubt"}
    assert _state(host) == before
