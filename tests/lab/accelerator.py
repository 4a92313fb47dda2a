# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which accelerator QEMU may use on this machine, and how many processors a guest gets on it.

A ``/dev/kvm`` that can be opened is no proof: inside a virtual machine without nested virtualisation it
may exist and a guest on it hangs. The processor's own flag is asked as well.

Under emulation a guest has one processor. With two, each emulated by a thread, a kernel that patches its own code
(static keys: int3 first, Documentation/staging/static-keys.rst) panics now and then, because the other thread still
runs what it translated before: "Oops: int3" in sched_clock_cpu, dequeue_entities and others, twice in some fifty
starts of a Linux 6.12 on a busy machine with QEMU 7.2. A second processor makes a start no faster there either.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

#: ``KVM_GET_API_VERSION`` and its only answer since Linux 2.6.22 (Documentation/virt/kvm/api.rst).
_GET_API_VERSION = 0xAE00
_API_VERSION = 12


def qemu_arguments() -> list[str]:
    """Return ``-accel``, ``-cpu`` and ``-smp`` for QEMU."""
    if processor_virtualizes(Path("/proc/cpuinfo").read_text()) and _kvm_answers():
        return ["-accel", "kvm", "-cpu", "host", "-smp", "2"]
    return ["-accel", "tcg", "-smp", "1"]


def processor_virtualizes(cpuinfo: str) -> bool:
    return re.search(r"^flags\s*:.*\b(vmx|svm)\b", cpuinfo, re.MULTILINE) is not None


def _kvm_answers() -> bool:
    try:
        descriptor = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fcntl.ioctl(descriptor, _GET_API_VERSION) == _API_VERSION
    except OSError:
        return False
    finally:
        os.close(descriptor)
