# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""KVM is used only where the processor says so as well as the device."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import accelerator

PLAIN = "processor\t: 0\nflags\t\t: fpu vme sse4_2 hypervisor lahf_lm\nvmx flags\t: none\n"


@pytest.mark.parametrize("flag", ["vmx", "svm"])
def test_processor_flag_is_found(flag: str) -> None:
    assert accelerator.processor_virtualizes(PLAIN.replace("hypervisor", flag))


@pytest.mark.parametrize("text", [PLAIN, PLAIN.replace("sse4_2", "vmx_like svmx"), ""])
def test_nothing_else_counts_as_the_flag(text: str) -> None:
    assert not accelerator.processor_virtualizes(text)


def test_a_device_that_opens_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _self: PLAIN)
    monkeypatch.setattr(accelerator, "_kvm_answers", lambda: True)
    assert accelerator.qemu_arguments() == ["-accel", "tcg", "-smp", "1"]


def test_kvm_where_both_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _self: PLAIN.replace("hypervisor", "vmx"))
    monkeypatch.setattr(accelerator, "_kvm_answers", lambda: True)
    assert accelerator.qemu_arguments() == ["-accel", "kvm", "-cpu", "host", "-smp", "2"]
