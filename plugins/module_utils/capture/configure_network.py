# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writing the network configuration and the resolver into a new root."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import network
from .model import Network, network_from
from .tree import exists, names, read_link, read_text
from .write import Writer
from .writers import ifupdown, networkd, resolv_conf

_SYSTEM = "/etc/systemd/system"
_UNITS = ("/usr/lib/systemd/system", "/lib/systemd/system")
#: Links that ``systemctl enable systemd-networkd`` makes; without it nothing starts the network.
_NETWORKD_LINKS = (
    ("multi-user.target.wants", "systemd-networkd.service"),
    ("sockets.target.wants", "systemd-networkd.socket"),
    ("network-online.target.wants", "systemd-networkd-wait-online.service"),
)
_CLOUD_FILE = "/etc/cloud/cloud.cfg.d/99-dualroot.cfg"
#: cloud-init would undo all of it at the first boot of an image that brings it.
_CLOUD_TEXT = """\
# Written by dualroot.migrate: this host keeps the identity that it had.
network: {config: disabled}
preserve_hostname: true
manage_etc_hosts: false
ssh_deletekeys: false
ssh_genkeytypes: []
disable_root: false
users: []
resize_rootfs: false
growpart: {mode: "off"}
"""
_EMPTY_INTERFACES = """\
# Written by dualroot.migrate: systemd-networkd configures the network.

auto lo
iface lo inet loopback
"""


def apply(writer: Writer, document: Mapping[str, Any], renderer: str) -> None:
    """Write the files of ``renderer`` and ``resolv.conf``; remove what would compete with them."""
    model = network_from(document)
    files = network.render(model, renderer)
    for path, text in files.items():
        # networkd reads its files as a user of its own; a name server is no secret.
        writer.file(path, text)
    if renderer == "networkd":
        _remove_stale(writer, files)
        _enable_networkd(writer)
    elif exists(writer.root, f"{_SYSTEM}/multi-user.target.wants/systemd-networkd.service"):
        for folder, unit in _NETWORKD_LINKS:
            writer.remove(f"{_SYSTEM}/{folder}/{unit}")
    if exists(writer.root, "/etc/cloud"):
        writer.file(_CLOUD_FILE, _CLOUD_TEXT)
    _resolver(writer, model, renderer)


def _remove_stale(writer: Writer, files: Mapping[str, str]) -> None:
    """Remove files that an earlier attempt wrote under another name."""
    for name in names(writer.root, networkd.FOLDER):
        path = f"{networkd.FOLDER}/{name}"
        if name.startswith(networkd.PREFIX) and path not in files:
            writer.remove(path)


def _enable_networkd(writer: Writer) -> None:
    for folder, unit in _NETWORKD_LINKS:
        found = next((path for path in _UNITS if exists(writer.root, f"{path}/{unit}")), None)
        if found is not None and not read_link(writer.root, f"{_SYSTEM}/{folder}/{unit}"):
            writer.link(f"{_SYSTEM}/{folder}/{unit}", f"{found}/{unit}")
    lines = read_text(writer.root, ifupdown.PATH).splitlines()
    stanzas = [line.split() for line in lines if line.startswith("iface")]
    if any(words[1:2] != ["lo"] for words in stanzas):
        # The image's own stanzas would configure the same interfaces a second time.
        writer.file(ifupdown.PATH, _EMPTY_INTERFACES)


def _resolver(writer: Writer, model: Network, renderer: str) -> None:
    """Leave ``resolv.conf`` to the program that manages it there, otherwise write it as a file."""
    link = read_link(writer.root, resolv_conf.PATH)
    if _manages(writer, link, renderer):
        return
    if renderer == "networkd" and _is_enabled(writer, "systemd-resolved.service"):
        writer.link(resolv_conf.PATH, "../run/systemd/resolve/stub-resolv.conf")
        return
    text = resolv_conf.render(model)
    if text:
        head = "# Written by dualroot.migrate from the configuration of the old system.\n"
        writer.own_file(resolv_conf.PATH, head + text)


def _manages(writer: Writer, link: str, renderer: str) -> bool:
    """Tell whether the link's owner is there, runs at boot, and learns the servers from our files."""
    if "systemd/resolve" in link:
        return renderer == "networkd" and _is_enabled(writer, "systemd-resolved.service")
    if "resolvconf" in link:
        return renderer == "ifupdown" and exists(writer.root, "/sbin/resolvconf")
    return False


def _is_enabled(writer: Writer, unit: str) -> bool:
    if not any(exists(writer.root, f"{path}/{unit}") for path in _UNITS):
        return False
    if read_link(writer.root, f"{_SYSTEM}/{unit}") == "/dev/null":
        return False
    folders = [name for name in names(writer.root, _SYSTEM) if name.endswith(".wants")]
    return any(read_link(writer.root, f"{_SYSTEM}/{folder}/{unit}") for folder in folders)
