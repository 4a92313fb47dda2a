# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Private to ``health``: the script that runs the health checks of a slot, and its units.

POSIX sh, because a slot may have no Python. It lives in Python and not in a file of its own because module_utils
travel as Python modules only.
"""

CHECKS = r"""#!/bin/sh
# dualroot.migrate: the health checks of this slot. Written by dualroot.migrate; see docs/health-checks.md.
#
# Required checks that fail are repeated for a while, since a service may need its time. What still fails then makes
# the start unhealthy: boot-complete.target is not reached, and a slot on trial restarts (dualroot-trial.service).
# Wanted checks are run once and only reported.
set -u
LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 022

root=${DUALROOT_ROOT:-}
proc=${DUALROOT_PROC:-/proc}
state=${DUALROOT_RUN:-/run/dualroot}
# Seconds: how long required checks may go on failing, between two rounds, and for one check.
patience=120
pause=10
time_limit=300
# shellcheck disable=SC1091
[ ! -r "$root/etc/dualroot/health.conf" ] || . "$root/etc/dualroot/health.conf"

argument() { tr ' ' '\n' <"$proc/cmdline" | sed -n "s/^$1=//p" | tail -n 1; }
DUALROOT_SLOT=$(argument dualroot.slot)
DUALROOT_TRIAL=no
! tr ' ' '\n' <"$proc/cmdline" | grep -qx dualroot.trial || DUALROOT_TRIAL=yes
export DUALROOT_SLOT DUALROOT_TRIAL

seconds() {
    read -r up _ <"$proc/uptime"
    echo "${up%%.*}"
}

# One line of printable ASCII without quotes and backslashes, as the records of the host hold a text.
plain() { tr '\t\n' '  ' | tr '"\\' "'/" | tr -c ' -~' '?' | cut -c "1-$1" | sed 's/ *$//'; }

# Where greenboot itself runs its checks, it has its own part in boot-complete.target.
greenboot_runs() { systemctl is-enabled --quiet greenboot-healthcheck.service 2>/dev/null; }

# checks KIND: the files to run, by name; one below /etc stands before its namesake below /usr/lib, and a link to
# /dev/null or a file that is not executable switches it off.
checks() {
    for family in dualroot greenboot; do
        [ "$family" = dualroot ] || ! greenboot_runs || continue
        for folder in "$root/usr/lib" "$root/etc"; do
            ls "$folder/$family/check/$1.d" 2>/dev/null
        done | sort -u | while IFS= read -r name; do
            case $family/$name in
                */*~ | */*.dpkg-* | */*.rpm* | */*.bak | */.*) continue ;;
                dualroot/* | greenboot/*.sh) ;;
                *) continue ;;
            esac
            file=$root/etc/$family/check/$1.d/$name
            [ -e "$file" ] || [ -L "$file" ] || file=$root/usr/lib/$family/check/$1.d/$name
            [ ! -f "$file" ] || [ ! -x "$file" ] || printf '%s\n' "$file"
        done
    done
}

# What people know a check by: its file's name, or what the file says of itself in its second line.
name_of() {
    title=$(sed -n '2s/^# check: //p' "$1" | plain 120)
    if [ -n "$title" ]; then printf '%s\n' "$title"; else basename "$1" | plain 120; fi
}

# run FILE: sets status and said, the last line of what it printed
run() {
    timeout -k 10 "$time_limit" "$1" >"$state/health-output" 2>&1 </dev/null
    status=$?
    cat "$state/health-output"
    said=$(grep . "$state/health-output" | tail -n 1 | plain 120)
}

why() {
    case $status in
        124 | 137) printf 'did not end within %s s' "$time_limit" ;;
        *) printf 'ended with status %s' "$status" ;;
    esac
    [ -z "$said" ] || printf ': %s' "$said"
}

# round KIND FILES: runs them; sets failed (files, one a line) and reason (of the first one)
round() {
    failed='' reason=''
    while IFS= read -r file; do
        [ -n "$file" ] || continue
        run "$file"
        name=$(name_of "$file")
        sed -i "\\|^$1 [0-9]* $file\$|d" "$state/health-results"
        echo "$1 $status $file" >>"$state/health-results"
        [ "$status" -ne 0 ] || continue
        problem="$1 check '$name' $(why)"
        echo "$problem"
        [ -n "$reason" ] || reason=$problem
        failed="$failed$file
"
    done <<END
$2
END
}

listed() {
    sed -n "s|^$1 \\([0-9]*\\) |\\1 |p" "$state/health-results" | while read -r code file; do
        printf '{"name": "%s", "status": %s}\n' "$(name_of "$file")" "$code"
    done | sed '$!s/$/, /' | tr -d '\n'
}

report() {
    printf '{"result": "%s", "reason": "%s", "required": [%s], "wanted": [%s]}\n' \
        "$1" "$2" "$(listed required)" "$(listed wanted)" >"$state/health.json.new"
    mv -f "$state/health.json.new" "$state/health.json"
}

mkdir -p "$state"
rm -f "$state/health-failed" "$state/health-decided"
: >"$state/health-results"
report running ''
until_second=$(($(seconds) + patience))
left=$(checks required)
while [ -n "$left" ]; do
    round required "$left"
    left=$failed
    if [ -z "$left" ] || [ "$(seconds)" -ge "$until_second" ]; then break; fi
    sleep "$pause"
done
why_not=${reason:-}
# For the guard of a trial, which does not wait for wanted checks: they take their time and decide nothing.
[ -n "$left" ] || : >"$state/health-decided"
round wanted "$(checks wanted)"
rm -f "$state/health-output"
if [ -z "$left" ]; then
    report passed ''
    echo 'the required checks passed'
    exit 0
fi
why_not=$(printf '%s' "$why_not" | plain 280)
report failed "$why_not"
echo "$why_not" >"$state/health-failed.new"
mv -f "$state/health-failed.new" "$state/health-failed"
echo "this start is not healthy: $why_not"
exit 1
"""

UNIT = """\
# Written by dualroot.migrate: the checks of required.d and wanted.d decide whether this start is a healthy one.
[Unit]
Description=Health checks of this slot
ConditionKernelCommandLine=dualroot.slot
After=multi-user.target boot-dispatch.mount
Before=boot-complete.target

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=infinity
ExecStart=/bin/sh @CHECKS@
# On trial: tell a restart in order from one that nobody ordered.
ExecStop=-/bin/sh -c '[ ! -x @GUARD@ ] || exec @GUARD@ stopped'

[Install]
RequiredBy=boot-complete.target
"""

#: systemd pulls boot-complete.target in only where somebody asks for it (systemd.special(7)).
COMPLETE_UNIT = """\
# Written by dualroot.migrate: asks for boot-complete.target, and so for everything that it needs.
[Unit]
Description=Healthy start of this slot
ConditionKernelCommandLine=dualroot.slot
DefaultDependencies=no
Requires=boot-complete.target
After=multi-user.target boot-complete.target
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true

[Install]
WantedBy=multi-user.target
"""

#: For systems whose systemd is older than 240 and has none.
TARGET = """\
# Written by dualroot.migrate: this system's own has none; see systemd.special(7) of a newer one.
[Unit]
Description=Boot Completion Check
Requires=sysinit.target
After=sysinit.target
"""

#: Before anything can be asked: whoever sees this file missing sees a system without health checks (tmpfiles.d(5)).
NOT_YET = """\
# Written by dualroot.migrate.
d /run/dualroot 0755 root root -
f /run/dualroot/health.json 0644 root root - {"result": "running", "reason": "", "required": [], "wanted": []}\\n
"""

COMMAND = """\
#!/bin/sh
# check: @TITLE@
# One of dualroot_health_commands; written by dualroot.migrate.
@COMMAND@
"""
