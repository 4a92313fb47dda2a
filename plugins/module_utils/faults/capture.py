# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What reading the old system's configuration can find, and what stops a run because of it.

The kinds in ``WARNINGS`` and ``NOTES`` are findings that stop nothing; they have the same shape.
"""

from __future__ import annotations

from .fault import FaultKind


def _kind(name: str, what: str, why: str, how: str, phase: str = "capture") -> FaultKind:
    return FaultKind(id=f"capture.{name}", phase=phase, what=what, why=why, how=how)


NETWORK_UNSUPPORTED = _kind(
    "network_unsupported",
    "The network configuration holds what cannot be carried over: {problems}",
    "Addresses, routes and DNS are rendered anew for the new system; what is not rendered would be"
    " missing after the reboot, and the host might stay unreachable.",
    "Change the named lines on the host so that plain addresses, routes and DHCP remain, check that the"
    " host still works after a reboot, and run again.",
)
NOT_ROOT = _kind(
    "not_root",
    "{path} cannot be read",
    "Accounts, keys and the SSH identity of a host are readable by root only.",
    "Set ansible_become: true (and ansible_become_password where sudo asks), or log in as root.",
)
MAC_MISSING = _kind(
    "mac_missing",
    "The interface {name} has no permanent MAC address that could be read",
    "Interfaces are recognised by that address, because their names may change with the kernel.",
    "Look at `ip link show {name}` on the host; give the interface a hardware address (HWADDR) in its"
    " configuration, or take it out of the configuration.",
)
PATH_MISSING = _kind(
    "path_missing",
    "{path} is to be carried over and does not exist on the host",
    "dualroot_capture_paths names it; leaving it out silently would lose data.",
    "Correct dualroot_capture_paths for this host, or create the path.",
)
PATH_REFUSED = _kind(
    "path_refused",
    "{path} cannot be carried over as an extra path",
    "It must be an absolute path, and one that neither belongs to the running kernel, the boot loader"
    " or the accounts, nor is a whole system.",
    "Name the files that you need below it in dualroot_capture_paths.",
)
PATHS_TOO_LARGE = _kind(
    "paths_too_large",
    "The extra paths hold more than {limit}: {path} would exceed it",
    "They travel in the RAM of stage two beside the payload; large data would leave too little of it.",
    "Name fewer or smaller paths in dualroot_capture_paths, and copy large data to another disk or host.",
)
ACCOUNT_UNKNOWN = _kind(
    "account_unknown",
    "The login {name} is not an account of the host",
    "It is the account that has to work on the new system, and it is not in /etc/passwd; accounts of"
    " LDAP, SSSD or systemd-homed cannot be carried over.",
    "Run with a login that is in /etc/passwd of the host, with a key or a password.",
)
DOCUMENT_INVALID = _kind(
    "document_invalid",
    "The capture document at {path} cannot be used: {problem}",
    "It is missing, damaged, or was written by another version.",
    "Run the phase capture again; it writes the document anew.",
)
RENDERER_UNKNOWN = _kind(
    "renderer_unknown",
    "The network cannot be written for {renderer}",
    "The bundle asks for a network renderer that this version does not have.",
    "Use a bundle whose payload is configured by networkd or ifupdown.",
)
SUDOERS_INVALID = _kind(
    "sudoers_invalid",
    "visudo of the new system refuses the sudoers files that were carried over: {problem}",
    "sudo refuses to work at all with a broken file, so it was left out.",
    "Log in as root (or with the recovery system), mend the file, and check it with `visudo -c`.",
    phase="configure",
)
LEASE_MISSING = _kind(
    "lease_missing",
    "{name} got no address by DHCP within {seconds} s",
    "The DHCP server did not answer in stage two, or the network cable or switch port is not up yet.",
    "Look at the DHCP server's log for {mac}; the host goes back to the old system by itself.",
    phase="attach",
)
INTERFACE_MISSING = _kind(
    "interface_missing",
    "Stage two has no network interface with the MAC address {mac} ({name} on the old system)",
    "The convert kernel has no driver for it, or the hardware was changed since the capture.",
    "Look at the kernel log on the console; the host goes back to the old system by itself.",
    phase="attach",
)

RUNTIME_ADDRESS = _kind(
    "runtime_address",
    "{name} has the address {address}, which is not in the configuration ({source})",
    "It was added by hand or by a program; it would be gone after any reboot, and is not carried over.",
    "If it is needed, add it to the configuration of the host and run again.",
)
CONFIGURED_ADDRESS = _kind(
    "configured_address",
    "{name} does not have the address {address}, which is in the configuration ({source})",
    "The configuration was changed without a restart of the network, or the address failed to come up."
    " The new system will get it.",
    "Check that the configuration of the host is what you want before you go on.",
)
RUNTIME_ROUTE = _kind(
    "runtime_route",
    "The kernel has the route {route} on {name}, which is not in the configuration ({source})",
    "It was added by hand or by a program (a VPN, a routing daemon), and is not carried over.",
    "If it is needed and nothing on the new system will add it, add it to the configuration of the host.",
)
CONFIGURED_ROUTE = _kind(
    "configured_route",
    "The route {route} on {name} is in the configuration ({source}), but the kernel does not have it",
    "The configuration was changed without a restart of the network, or the route failed to come up.",
    "Check that the configuration of the host is what you want before you go on.",
)
INTERFACE_ABSENT = _kind(
    "interface_absent",
    "{name} is configured ({source}), but the host has no such interface",
    "The card was removed, or its name has changed; without its MAC address it cannot be carried over.",
    "If it is needed, make it present; otherwise remove it from the configuration.",
)
INTERFACE_NOT_STARTED = _kind(
    "interface_not_started",
    "{name} is configured ({source}), but is not started at boot and is not up",
    "It is left out: the new system starts every interface that it knows.",
    "If it is needed, set it to start at boot in the configuration of the host.",
)
INFERRED = _kind(
    "network_inferred",
    "The configuration of {names} was read from the running kernel, not from files ({manager})",
    "There is no reader for {manager} yet; what the kernel has was taken: static where the address has"
    " no end, DHCP where it has one.",
    "Compare the addresses, routes and DNS servers of the plan with what you expect.",
)
VIRTUAL_INTERFACE = _kind(
    "virtual_interface",
    "The virtual interface {name} ({kind}) is not carried over",
    "It is made by a program (containers, a hypervisor, a VPN), not by the network configuration.",
    "Install and configure that program on the new system if it is still needed.",
)
DHCP_LEASE = _kind(
    "dhcp_lease",
    "{name} gets its address {address} by DHCP",
    "Stage two and the new system ask the DHCP server with the same MAC address; a server without a"
    " reservation may hand out another address, and the controller would not find the host.",
    "Reserve the address for {mac} on the DHCP server.",
)
LOCAL_RESOLVER = _kind(
    "local_resolver",
    "The host asks a name server of its own ({servers})",
    "A resolver on the host (dnsmasq, unbound, named) is not carried over; names would not resolve.",
    "Make sure that the new system brings that resolver, or configure the servers that it asks.",
)
SSHD_MATCH = _kind(
    "sshd_match",
    "sshd_config has Match blocks, and they are not carried over",
    "Only the global login policy, ports and keys of sshd are; rules for single users would be missing.",
    "Bring the blocks in the payload's own sshd_config.d, or name a file with them in dualroot_capture_paths.",
)
SSHD_SETTING = _kind(
    "sshd_setting",
    "sshd uses {settings}, and that is not carried over",
    "Logins that depend on certificates, key commands or several methods would not work in stage two nor"
    " on the new system.",
    "Make sure that the login of the run works with its password or with a key in authorized_keys, and"
    " bring the setting in the payload's own sshd_config.d.",
)
SPECIAL_FILE = _kind(
    "special_file",
    "{path} is neither a file, a folder nor a link, and is not carried over",
    "Sockets, pipes and devices are made by the programs that use them.",
    "Nothing, unless the new system needs it; then make it there.",
)
ID_CONFLICT = _kind(
    "id_conflict",
    "The {what} {name} has the id {id} on the host, and on the new system that id belongs to {other}",
    "Both cannot keep it; the account of the old system keeps its id where both are ordinary accounts,"
    " and a system account of the new system always keeps its own.",
    "Nothing, if no file outside the home folder depends on the id; otherwise change one of the ids first.",
)

REFUSALS = (
    NETWORK_UNSUPPORTED,
    NOT_ROOT,
    MAC_MISSING,
    PATH_MISSING,
    PATH_REFUSED,
    PATHS_TOO_LARGE,
    ACCOUNT_UNKNOWN,
    DOCUMENT_INVALID,
    RENDERER_UNKNOWN,
    LEASE_MISSING,
    INTERFACE_MISSING,
)
WARNINGS = (
    RUNTIME_ADDRESS,
    CONFIGURED_ADDRESS,
    RUNTIME_ROUTE,
    CONFIGURED_ROUTE,
    INTERFACE_ABSENT,
    INTERFACE_NOT_STARTED,
    INFERRED,
    LOCAL_RESOLVER,
    SSHD_MATCH,
    SSHD_SETTING,
    SUDOERS_INVALID,
    ID_CONFLICT,
)
NOTES = (VIRTUAL_INTERFACE, DHCP_LEASE, SPECIAL_FILE)
KINDS = REFUSALS + WARNINGS + NOTES
