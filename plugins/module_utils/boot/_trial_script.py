# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Private to ``trial``: the scripts of the trial guard. ``@NAME@`` marks what is filled in.

They live in Python and not in files of their own because module_utils travel as Python modules only.
"""

GUARD = r"""#!/bin/sh
# dualroot.migrate: this slot is on trial. Written by dualroot.migrate; see docs/health-checks.md.
#
# A required check that fails for good restarts the system at once. When the time is up and nobody marked the slot
# good, the system is looked at: does it run as a whole, does sshd answer, has it its addresses, does its gateway
# answer? If not, nobody can reach it, and it restarts. The dispatcher counts the tries, and boots the good slot or
# the recovery system after the last one. What ended the try is written to the dispatch file system. A system that can
# be reached stays, and gets its tries back: only starts that fail one after the other give the slot up.

limit=@LIMIT@
slot=@SLOT@
# In hexadecimal, as the files of /proc/net have them.
ports='@PORTS@'
addresses='@ADDRESSES@'
addresses6='@ADDRESSES6@'
gateways='@GATEWAYS@'
gateways6='@GATEWAYS6@'
# The interfaces that had a lease, one of which is enough: NAME=MAC, either of which may be missing.
leases='@LEASES@'
leases6='@LEASES6@'
dispatch=${DUALROOT_DISPATCH:-/boot/dispatch}
proc=${DUALROOT_PROC:-/proc}
sys=${DUALROOT_SYS:-/sys}
state=${DUALROOT_RUN:-/run/dualroot}
slot_command=${DUALROOT_SLOT_COMMAND:-/usr/local/sbin/dualroot-slot}
log=$dispatch/runs/@RUN@/trial.log
# The kernel's own trigger: a restart that waits for nothing (Documentation/admin-guide/sysrq.rst).
trigger=$proc/sysrq-trigger
somebody_came=''
checking='the health checks did not end'

uptime_seconds() {
    read -r up _ <"$proc/uptime"
    echo "${up%%.*}"
}

# The newer copy of the slot state counts, as for the dispatcher and for dualroot-slot. Where neither can be read, the
# kernel line said that the slot is on trial.
is_on_trial() {
    newest=-1 marked=''
    for copy in "$dispatch/state" "$dispatch/state.copy"; do
        grep -aq '^# GRUB Environment Block' "$copy" 2>/dev/null || continue
        generation=$(grep -a '^dr_generation=[0-9]*$' "$copy" | tail -n 1)
        word=$(grep -aE "^dr_$slot=(good|trying|bad|empty)\$" "$copy" | tail -n 1)
        if [ -n "$word" ] && [ "0${generation#*=}" -gt "$newest" ]; then newest=0${generation#*=} marked=$word; fi
    done
    [ -z "$marked" ] || [ "$marked" = "dr_$slot=trying" ]
}

say() {
    echo "dualroot: trial of slot $slot: $*" >/dev/kmsg 2>/dev/null || echo "dualroot: trial of slot $slot: $*"
}

# -- does it run ----------------------------------------------------------------------------------

# A systemd that hangs must not hang the guard.
ask_systemd() { timeout 20 systemctl "$@" 2>/dev/null; }

# "12  x.service  start running": columns, in an order of no meaning.
waited_for() {
    ask_systemd list-jobs --no-legend | sed -n 's/^ *[0-9]*  *\([^ ][^ ]*\) .* running *$/\1/p' | sort | head -n 3
}

system_problem() {
    if ! ask_systemd is-active --quiet multi-user.target; then
        # Unquoted: the names in one line.
        # shellcheck disable=SC2046
        set -- $(waited_for)
        echo "the system has not come up as a whole${1:+, it waits for $*}"
    elif ! ask_systemd is-active --quiet boot-complete.target; then
        waits='' wanted=''
        for unit in $(ask_systemd show -p Requires --value boot-complete.target); do
            case $unit=$(ask_systemd is-active "$unit") in
                *=failed)
                    echo "boot-complete.target needs $unit, which failed"
                    return
                    ;;
                *=active) ;;
                # Its wanted checks decide nothing; the required ones are through.
                dualroot-health.service=*) if [ -e "$state/health-decided" ]; then wanted=yes; else waits=yes; fi ;;
                *) waits=yes ;;
            esac
        done
        if [ -n "$waits" ] || [ -z "$wanted" ]; then echo "$checking"; fi
    fi
}

# -- can it be reached ----------------------------------------------------------------------------

# proc_net_tcp.txt: local address and port, remote ones, then the state; 0A is LISTEN, 01 ESTABLISHED.
sshd_listens() {
    for port in $ports; do
        grep -Eqs ":$port [0-9A-F]+:[0-9A-F]+ 0A " "$proc/net/tcp" "$proc/net/tcp6" && return 0
    done
    return 1
}

# A socket of systemd listens also where the sshd behind it cannot start, so one has to answer, wherever it listens.
sshd_answers() {
    command -v bash >/dev/null || return 0
    for port in $ports; do
        for address in 127.0.0.1 $addresses ::1; do
            greeting=$(timeout 10 bash -c "exec 3<>/dev/tcp/$address/$((0x$port)) && head -c 4 <&3" 2>/dev/null)
            [ "$greeting" != SSH- ] || return 0
        done
    done
    return 1
}

# A connection from another machine proves the network, whatever a gateway says: most likely it is the controller.
look_for_somebody() {
    for port in $ports; do
        if grep -Ehs ": [0-9A-F]+:$port [0-9A-F]+:[0-9A-F]+ 01 " "$proc/net/tcp" "$proc/net/tcp6" |
            grep -Eqv ' (0000000000000000FFFF0000)?[0-9A-F]{6}7F:[0-9A-F]+ 01 | 0{24}01000000:[0-9A-F]+ 01 '; then
            somebody_came=yes
        fi
    done
}

has_address() {
    grep -A1 -Es "\\|-- $1\$" "$proc/net/fib_trie" | grep -q 'host LOCAL'
}

# if_inet6: address, index, prefix, scope, flags; 08 in the flags: another machine has the address already (DADFAILED).
has_address6() {
    grep -is "^$1 " "$proc/net/if_inet6" | grep -Eqv '^([^ ]+ +){4}.[89a-f] '
}

# interfaces NAME=MAC...: what bears such a name or hardware address; a bridge or bond has that of its first port.
interfaces() {
    for one; do
        for path in "$sys"/class/net/*; do
            name=${path##*/}
            if [ "$name" = "${one%%=*}" ]; then
                echo "$name"
            elif [ -n "${one#*=}" ] && [ "$(cat "$path/address" 2>/dev/null)" = "${one#*=}" ]; then
                echo "$name"
            fi
        done
    done
}

# An interface that was given an address has a route; 169.254.0.0/16, backwards, is what it takes when nobody answers.
has_lease() {
    # Unquoted: a list, of words without blanks.
    # shellcheck disable=SC2086
    for interface in $(interfaces $leases); do
        grep -Es "^$interface	" "$proc/net/route" | grep -Eqv "^$interface	0000FEA9	" && return 0
    done
    return 1
}

# Scope 00 is a global address; the last column is the interface.
has_lease6() {
    # shellcheck disable=SC2086
    for interface in $(interfaces $leases6); do
        grep -Eqs "^[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ 00 [0-7].  *$interface\$" "$proc/net/if_inet6" && return 0
    done
    return 1
}

# The gateways that the kernel was given, where none is known beforehand: flags 3 are up and gateway.
leased_gateways() {
    grep -Es '^[^	]+	00000000	' "$proc/net/route" | while read -r _ _ gateway flags _; do
        [ $((0x$flags & 3)) -ne 3 ] ||
            printf '%d.%d.%d.%d\n' "0x${gateway#??????}" "0x$(echo "$gateway" | cut -c 5-6)" \
                "0x$(echo "$gateway" | cut -c 3-4)" "0x$(echo "$gateway" | cut -c 1-2)"
    done | sort -u
}

gateway_answers() {
    for _ in 1 2 3; do
        # Any packet makes the kernel ask for the gateway's hardware address; an answer to the packet is not needed.
        ping -c 1 -W 2 "$1" >/dev/null 2>&1 || timeout 2 bash -c "echo >/dev/udp/$1/9" 2>/dev/null
        sleep 1
        # Flag 0x2: the address is known (ATF_COM of arp(7)).
        grep -Eqs "^$(echo "$1" | sed 's/[.]/[.]/g') +0x[0-9a-f]+ +0x(2|6) " "$proc/net/arp" && return 0
    done
    return 1
}

gateway6_answers() {
    # Its neighbours are told by ip alone; without it nothing is known against the gateway.
    command -v ip >/dev/null || return 0
    for _ in 1 2 3; do
        # A packet to anywhere (an address for documentation) goes by the gateway.
        timeout 4 bash -c 'echo >/dev/udp/2001:db8::1/9' 2>/dev/null
        ping -6 -c 1 -W 2 "$1" >/dev/null 2>&1 && return 0
        sleep 1
        ip -6 neigh show to "$1" 2>/dev/null | grep lladdr | grep -qv FAILED && return 0
    done
    return 1
}

any_gateway_answers() {
    for one in $gateways; do ! gateway_answers "$one" || return 0; done
    for one in $gateways6; do ! gateway6_answers "$one" || return 0; done
    return 1
}

network_problem() {
    [ -z "$somebody_came" ] || return 0
    for one in $addresses; do
        has_address "$one" || { echo "network dead: the address $one is missing"; return; }
    done
    for one in $addresses6; do
        has_address6 "${one%%=*}" || { echo "network dead: the address ${one#*=} is missing"; return; }
    done
    if [ -n "$leases$leases6" ] && ! has_lease && ! has_lease6; then
        echo "network dead: no address was leased"
        return
    fi
    [ -n "$gateways$gateways6" ] || gateways=$(leased_gateways)
    # One answer is enough: nobody logged in, but somebody could.
    if [ -n "$gateways$gateways6" ] && ! any_gateway_answers; then
        # shellcheck disable=SC2086
        set -- $gateways $gateways6
        echo "network dead: nobody logged in, and the gateway $* does not answer"
    fi
}

problem() {
    found=$(system_problem)
    if [ -n "$found" ]; then echo "$found"; return; fi
    sshd_listens || { echo "no sshd listens"; return; }
    sshd_answers || { echo "sshd does not answer"; return; }
    network_problem
}

# -- what is left behind --------------------------------------------------------------------------

write_line() {
    mkdir -p "${log%/*}" && echo "uptime=$(uptime_seconds) slot=$slot $1" >>"$log"
    sync -f "$log"
}

# Under the lock of everybody who writes there; without flock rather unlocked than not at all.
record() {
    [ -n "${2:-}" ] || mountpoint -q "$dispatch" || mount "$dispatch" || return
    mountpoint -q "$dispatch" || return
    (
        if command -v flock >/dev/null; then
            exec 9<"$dispatch"
            flock -w 8 9
        fi
        if grep -q "^[^ ]* $dispatch [^ ]* ro[, ]" "$proc/mounts"; then
            mount -o remount,rw "$dispatch" || exit 1
            write_line "$1"
            mount -o remount,ro "$dispatch"
        else
            write_line "$1"
        fi
    )
}

# Called by the health checks' unit when the system goes down in order.
if [ "${1:-}" = stopped ]; then
    [ -e "$state/trial-ended" ] || ! is_on_trial || record 'reason=it was restarted in order, by a person or a program'
    exit 0
fi

give_up() {
    say "$1 after $(uptime_seconds) s: it restarts"
    mkdir -p "$state"
    : >"$state/trial-ended"
    # In the background: a disk that does not answer must not hold the restart up.
    ( record "reason=$1"; sync ) >/dev/null 2>&1 &
    sleep 15
    echo b >"$trigger"
    exit 0
}

# Only when systemd has mounted it, which must not find it mounted already.
note_start() {
    if [ -z "$noted" ] && mountpoint -q "$dispatch"; then
        noted=yes
        left=$(grep -a '^dr_tries=' "$dispatch/state" | tail -n 1)
        ( record "left=${left#*=} started" no-mount ) >/dev/null 2>&1 &
    fi
}

# Checks that still run may be sound ones that take long: they get as much time again, and no more.
noted='' deadline=$limit
while :; do
    while [ "$(uptime_seconds)" -lt "$deadline" ]; do
        is_on_trial || exit 0
        note_start
        look_for_somebody
        [ ! -s "$state/health-failed" ] || give_up "$(head -n 1 "$state/health-failed")"
        sleep 5
    done
    is_on_trial || exit 0
    reason=$(problem)
    if [ "$reason" != "$checking" ] || [ "$deadline" -gt "$limit" ]; then break; fi
    deadline=$((2 * limit))
done
[ -z "$reason" ] || give_up "$reason"
say "nobody marked it good within $limit s, but it can be reached: it stays"
"$slot_command" again "$slot" >/dev/null || say 'its tries could not be given back'
"""

UNIT = """\
# Written by dualroot.migrate.
[Unit]
Description=Restart a slot on trial that is not healthy or that nobody can reach
ConditionKernelCommandLine=dualroot.trial
# Before anything that may fail or hang, and through emergency and rescue mode too.
DefaultDependencies=no
Before=sysinit.target
IgnoreOnIsolate=yes

[Service]
ExecStart=/bin/sh @GUARD@
Restart=on-failure
RestartSec=5
OOMScoreAdjust=-1000

[Install]
WantedBy=sysinit.target
"""

EARLY = """\
# dualroot.migrate: read by the init of initramfs-tools on boots of a slot on trial. A shell or a missing root
# restarts by panic= already; this is for what hangs. After the change to the real root this process still sees
# the old, empty one: there is no /proc in it, so nothing happens any more.
(
    sleep @SECONDS@
    if [ -w /proc/sysrq-trigger ]; then
        echo "dualroot: the initramfs has not found its root within @SECONDS@ s: it restarts" >/dev/kmsg
        echo b >/proc/sysrq-trigger
    fi
) </dev/null >/dev/null 2>&1 &
"""

EARLY_WANTS = """\
# dualroot.migrate: the same for an initramfs that runs systemd, as those of dracut do.
[Unit]
Wants=dualroot-early.service
"""

EARLY_UNIT = """\
# dualroot.migrate: on boots of a slot on trial. The change to the real root stops it; and should it live on, the real
# root has no /etc/initrd-release.
[Unit]
Description=Restart if the initramfs does not find its root
ConditionPathExists=/etc/initrd-release
DefaultDependencies=no
Conflicts=initrd-switch-root.target
Before=initrd-switch-root.target

[Service]
ExecStart=/bin/sh -c 'sleep @SECONDS@; test -e /etc/initrd-release || exit 0; \\
echo "dualroot: the initramfs has not found its root within @SECONDS@ s: it restarts" >/dev/kmsg; \\
echo b >/proc/sysrq-trigger'
"""
