# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Memory and downtime: sums of known sizes, and what a rehearsal teaches."""

from __future__ import annotations

from ansible_collections.dualroot.migrate.plugins.module_utils.plan import predict

from . import documents as docs

MIB = docs.MIB


def test_memory_is_environment_payload_and_working_room() -> None:
    found = predict.predict(docs.facts(), docs.manifest(), None)
    assert found.peak_ram_bytes == (130 + 180 + 58 + 112) * MIB
    assert found.needed_ram_bytes == found.peak_ram_bytes + 64 * MIB


def test_with_a_lifeboat_the_payload_does_not_count() -> None:
    manifest = docs.manifest()
    small = predict.predict(docs.facts(), manifest, None, lifeboat=True)
    assert small.peak_ram_bytes == (130 + 112) * MIB
    manifest["payload"]["size"] = 50 << 30
    large = predict.predict(docs.facts(), manifest, None, lifeboat=True)
    assert large.peak_ram_bytes == small.peak_ram_bytes
    assert large.needed_ram_bytes < 512 * MIB
    assert large.to_document()["lifeboat"] is True


def test_what_waits_for_stage_two_is_read_twice() -> None:
    once = predict.predict(docs.facts(), docs.manifest(), None, lifeboat=True)
    twice = predict.predict(docs.facts(), docs.manifest(), None, lifeboat=True, copied_bytes=240 * MIB)
    assert (once.phases["load"], twice.phases["load"]) == (2, 4)


def test_a_large_environment_needs_twice_its_size_to_be_unpacked() -> None:
    manifest = docs.manifest()
    manifest["environment"]["unpacked_bytes"] = 900 * MIB
    found = predict.predict(docs.facts(), manifest, None)
    assert found.needed_ram_bytes == (2 * 900 + 112) * MIB


def test_downtime_is_the_sum_of_its_phases() -> None:
    found = predict.predict(docs.facts(), docs.manifest(), None)
    assert found.downtime_seconds == sum(found.phases.values())
    assert found.phases["restore"] == 10
    assert found.calibrated == ()


def test_emulation_is_slower() -> None:
    emulated = predict.predict({**docs.facts(), "virtualization": "qemu"}, docs.manifest(), None)
    assert emulated.phases["restore"] == 80
    assert emulated.phases["await"] == 5


def test_a_rehearsal_calibrates() -> None:
    rehearsal = {
        "payload_bytes": 238 * MIB,
        "phases": [
            {"name": "attach", "started": 0, "seconds": 9},
            {"name": "load", "started": 9, "seconds": 4},
        ],
    }
    found = predict.predict(docs.facts(), docs.manifest(), rehearsal)
    assert found.phases["attach"] == 9
    assert found.phases["load"] == 4
    assert found.phases["restore"] == 20
    assert found.calibrated == ("attach", "load", "restore")


def test_a_rehearsal_calibrates_memory_upwards_and_the_ways_in_and_out() -> None:
    rehearsal = {
        "run_id": "20261119T080000Z-000000",
        "lifeboat": True,
        "peak_ram_bytes": 300 * MIB,
        "downtime_seconds": 115,
        "payload_bytes": 238 * MIB,
        "phases": [{"name": "attach", "seconds": 5}, {"name": "load", "seconds": 5}, {"name": "await", "seconds": 5}],
    }
    found = predict.predict(docs.facts(), docs.manifest(), rehearsal, lifeboat=True)
    assert found.peak_ram_bytes == 300 * MIB
    assert (found.phases["enter"], found.phases["start"]) == (40, 60)
    assert found.calibrated == ("attach", "await", "enter", "load", "memory", "restore", "start")
    assert found.calibrated_by == "20261119T080000Z-000000"
    smaller = predict.predict(docs.facts(), docs.manifest(), {**rehearsal, "peak_ram_bytes": MIB}, lifeboat=True)
    assert smaller.peak_ram_bytes == (130 + 112) * MIB
    other = predict.predict(docs.facts(), docs.manifest(), rehearsal)
    assert other.peak_ram_bytes == (130 + 180 + 58 + 112) * MIB
