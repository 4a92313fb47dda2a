# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Network interfaces with the address that is burnt into them, whatever they use now."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..disk import sysfs
from .modalias import driver

_SIOCETHTOOL = 0x8946
_GET_PERMANENT_ADDRESS = 0x20
_LONGEST_ADDRESS = 32


def read_interfaces(root: Path = sysfs.ROOT, permanent: Callable[[str], str] | None = None) -> list[dict[str, Any]]:
    """Return ``{name, mac, permanent_mac, driver, operstate, modalias}`` of all but loopback.

    Virtual interfaces have neither driver nor modalias. ``permanent`` asks the kernel; tests give
    their own.
    """
    ask = permanent or permanent_address
    return [_interface(name, root, ask) for name in sysfs.listing(root, "sys/class/net") if _counts(name, root)]


def permanent_address(name: str) -> str:
    """Return the permanent MAC by ETHTOOL_GPERMADDR, or an empty text (linux/ethtool.h)."""
    try:
        import array
        import fcntl

        data = array.array("B", struct.pack("II", _GET_PERMANENT_ADDRESS, _LONGEST_ADDRESS) + bytes(32))
        request = struct.pack("16sP", name.encode(), data.buffer_info()[0]).ljust(40, b"\0")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control.fileno(), _SIOCETHTOOL, request)
    except (ImportError, OSError):
        return ""
    length = struct.unpack_from("I", data, 4)[0]
    address = bytes(data[8 : 8 + length])
    return ":".join(f"{byte:02x}" for byte in address) if any(address) else ""


def _counts(name: str, root: Path) -> bool:
    # ARPHRD_ETHER is 1; loopback, tunnels and the bonding_masters file are of no use here.
    return sysfs.read(root, f"sys/class/net/{name}/type") == "1"


def _interface(name: str, root: Path, ask: Callable[[str], str]) -> dict[str, Any]:
    base = root / "sys/class/net" / name
    mac = sysfs.read(base, "address").lower()
    physical = (base / "device").exists()
    return {
        "name": name,
        "mac": mac,
        "permanent_mac": (ask(name).lower() or mac) if physical else "",
        "driver": driver(base / "device") if physical else "",
        "operstate": sysfs.read(base, "operstate"),
        "modalias": sysfs.read(base, "device/modalias"),
    }
