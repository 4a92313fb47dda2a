# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Private to ``stage_two.trial``: the scripts of the trial guard. ``@NAME@`` marks what is filled in.

They live in Python and not in files of their own because module_utils travel as Python modules only.
"""

GUARD = """\
#!/bin/sh
# dualroot.migrate: this slot is on trial. Written by dualroot.migrate.
#
# When the time is up and nobody marked the slot good, the system is looked at: does it run as a whole, does sshd
# listen, has it its addresses, does its gateway answer? If not, nobody can reach it, and it restarts. The dispatcher
# counts the tries, and boots the good slot or the recovery system after the last one.

limit=@LIMIT@
slot=@SLOT@
ports='@PORTS@'
addresses='@ADDRESSES@'
gateways='@GATEWAYS@'
dispatch=${DUALROOT_DISPATCH:-/boot/dispatch}
proc=${DUALROOT_PROC:-/proc}
log=$dispatch/runs/@RUN@/trial.log
# The kernel's own trigger: a restart that waits for nothing (Documentation/admin-guide/sysrq.rst).
trigger=$proc/sysrq-trigger

uptime_seconds() {
    read -r up _ <"$proc/uptime"
    echo "${up%%.*}"
}

# Where the state cannot be read, the kernel line said that the slot is on trial.
is_on_trial() {
    [ ! -r "$dispatch/state" ] || grep -aq "^dr_$slot=trying" "$dispatch/state"
}

say() {
    echo "dualroot: trial of slot $slot: $*" >/dev/kmsg 2>/dev/null || echo "dualroot: trial of slot $slot: $*"
}

sshd_listens() {
    for port in $ports; do
        # proc_net_tcp.txt: local address and port, remote ones, then the state; 0A is LISTEN.
        grep -Eqs ":$port [0-9A-F]+:[0-9A-F]+ 0A " "$proc/net/tcp" "$proc/net/tcp6" && return 0
    done
    return 1
}

has_address() {
    grep -A1 -Es "\\\\|-- $1\\$" "$proc/net/fib_trie" | grep -q 'host LOCAL'
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

problem() {
    if ! systemctl is-active --quiet multi-user.target; then
        echo "the system has not come up as a whole"
        return
    fi
    if ! sshd_listens; then
        echo "no sshd listens"
        return
    fi
    for one in $addresses; do
        has_address "$one" || { echo "the address $one is missing"; return; }
    done
    for one in $gateways; do
        gateway_answers "$one" || { echo "the gateway $one does not answer"; return; }
    done
}

record() {
    mountpoint -q "$dispatch" || mount "$dispatch" || return
    mount -o remount,rw "$dispatch" || return
    mkdir -p "${log%/*}" && echo "uptime=$(uptime_seconds) slot=$slot reason=$1" >>"$log"
    sync -f "$log"
    mount -o remount,ro "$dispatch"
}

while [ "$(uptime_seconds)" -lt "$limit" ]; do
    is_on_trial || exit 0
    sleep 5
done
is_on_trial || exit 0
reason=$(problem)
if [ -z "$reason" ]; then
    say "nobody marked it good within $limit s, but it can be reached: it stays"
    exit 0
fi
say "$reason after $limit s: it restarts"
# In the background: a disk that does not answer must not hold the restart up.
( record "$reason"; sync ) >/dev/null 2>&1 &
sleep 15
echo b >"$trigger"
"""

UNIT = """\
# Written by dualroot.migrate.
[Unit]
Description=Restart a slot on trial that nobody can reach
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
