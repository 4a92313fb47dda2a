# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which system this is: release, init, virtualization, ids."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

from ..disk import sysfs

#: Words in the DMI vendor and product, and the name of the hypervisor that writes them.
_HYPERVISORS = (
    ("vmware", "vmware"),
    ("virtualbox", "oracle"),
    ("microsoft", "microsoft"),
    ("xen", "xen"),
    ("kvm", "kvm"),
    ("openstack", "kvm"),
    ("google", "kvm"),
    ("amazon", "kvm"),
    ("qemu", "qemu"),
)


def read_system(root: Path = sysfs.ROOT) -> dict[str, Any]:
    """Return the keys of the facts that name the running system."""
    return {
        "hostname": sysfs.read(root, "proc/sys/kernel/hostname"),
        "machine_id": sysfs.read(root, "etc/machine-id"),
        "boot_id": sysfs.read(root, "proc/sys/kernel/random/boot_id"),
        "architecture": os.uname().machine,
        "kernel": sysfs.read(root, "proc/sys/kernel/osrelease"),
        "cmdline": sysfs.read(root, "proc/cmdline"),
        "os": read_os_release(root),
        "init": _init(root),
        "python": {"executable": sys.executable or "", "version": platform.python_version()},
        "is_root": os.geteuid() == 0,
        "virtualization": _virtualization(root),
    }


def read_os_release(root: Path = sysfs.ROOT) -> dict[str, str]:
    """Return ``id``, ``version_id`` and ``pretty_name`` (os-release(5))."""
    text = sysfs.read(root, "etc/os-release") or sysfs.read(root, "usr/lib/os-release")
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = _unquote(value)
    return {name: found.get(name.upper(), "") for name in ("id", "version_id", "pretty_name")}


def _unquote(value: str) -> str:
    try:
        return "".join(shlex.split(value)[:1])
    except (ValueError, IndexError):
        return value.strip("\"'")


def _init(root: Path) -> str:
    if (root / "run/systemd/system").is_dir():
        return "systemd"
    return "sysvinit" if sysfs.read(root, "proc/1/comm") == "init" else "other"


def _virtualization(root: Path) -> str:
    """Return ``none``, ``container``, a hypervisor's name, or ``other`` for an unknown one."""
    if any((root / path).exists() for path in (".dockerenv", "run/.containerenv", "run/systemd/container")):
        return "container"
    if " hypervisor" not in sysfs.read(root, "proc/cpuinfo"):
        return "none"
    dmi = " ".join(sysfs.read(root, f"sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name"))
    for word, name in _HYPERVISORS:
        if word in dmi.lower():
            return name
    return "other"
