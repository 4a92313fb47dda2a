# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Private to ``slot_command``: ``dualroot-slot``, first half: what it reads, and what it changes.

POSIX sh with small tools (sed, grep, cut, df, dd; those of busybox will do), because a slot may have no Python. What it
reads and writes are the formats of ``slot_state`` and ``records``, and a test holds it against both. It lives in
Python and not in a file of its own because module_utils travel as Python modules only.
"""

READ = r"""#!/bin/sh
# dualroot-slot: shows and marks the slots of this host. Written by dualroot.migrate; see "dualroot-slot help".
set -u
LC_ALL=C
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 022

dispatch=${DUALROOT_DISPATCH:-/boot/dispatch}
proc=${DUALROOT_PROC:-/proc}
# Another root than /, for tests and chroots.
root=${DUALROOT_ROOT:-}
shown_outcomes=10

die() {
    echo "dualroot-slot: $*" >&2
    exit 1
}

usage() {
    cat <<'END'
Usage: dualroot-slot [status] [--json]      the slots, what happened to them, and free space
       dualroot-slot reason                 why a slot was given up or the other one runs
       dualroot-slot good SLOT [WHY]        keep SLOT: it is booted from now on
       dualroot-slot bad SLOT [WHY]         do not boot SLOT any more
       dualroot-slot try SLOT [TRIES]       boot SLOT for up to 3 starts, then the other one again
       dualroot-slot again SLOT             give SLOT its 3 starts back if it is on trial, as a good start does
       dualroot-slot next SLOT|r|none       boot SLOT, or the recovery system, at the next start only
       dualroot-slot note SLOT EVENT [WHY]  add a line to what happened
       dualroot-slot fact                   write the Ansible fact of this host again
SLOT is a or b. With --force even what leaves the host without a slot to boot is done. With --event EVENT the
commands good, bad and try tell that event, one of: installed good bad fell_back rolled_back restarted removed restored
END
}

is_slot() { [ "$1" = a ] || [ "$1" = b ]; }
is_event() {
    case $1 in
        installed | good | bad | fell_back | rolled_back | restarted | removed | restored) ;;
        *) false ;;
    esac
}

# One line of printable ASCII without quotes and backslashes, as records hold a text.
plain() { printf '%s' "$*" | tr '\t\n' '  ' | tr '"\\' "'/" | tr -c ' -~' '?' | cut -c 1-300; }

# A number without leading zeros; anything else counts as none, as it does for the dispatcher.
number() {
    case $1 in
        '' | *[!0-9]*) echo 0 ;;
        0?*) printf '%s\n' "$1" | sed 's/^0*\(.\)/\1/' ;;
        *) echo "$1" ;;
    esac
}

# -- what runs ------------------------------------------------------------------------------------

argument() { tr ' ' '\n' <"$proc/cmdline" 2>/dev/null | sed -n "s/^$1=//p" | tail -n 1; }

running=$(argument dualroot.slot)
running_run=$(argument dualroot.run)
mode=$(argument dualroot.mode)

is_mounted() { sed 's/^[^ ]* //' "$proc/mounts" | grep -q "^$dispatch "; }

# A slot has it in its fstab; the recovery system has no fstab, and in an old system that was kept nothing changes.
mounted() {
    is_mounted || mount "$dispatch" 2>/dev/null && return
    [ "$mode" != old ] || dispatch=$root/run/dualroot/dispatch
    case $mode in
        recovery | old)
            mkdir -p "$dispatch"
            is_mounted || mount -o ro LABEL=dispatch "$dispatch" 2>/dev/null && return
            ;;
    esac
    die "no dispatch file system is mounted at $dispatch; a host without one has no slots"
}

# -- the slot state: two copies of 1024 bytes, the newer good one counts --------------------------

# parse FILE: sets s_order s_a s_b s_tries s_next s_generation and s_damage; by the shell alone, because a start of
# the system waits for it
parse() {
    s_damage='' s_order='' s_a=empty s_b=empty s_tries=0 s_next='' s_generation=0
    if [ ! -r "$1" ]; then
        s_damage='it cannot be read'
        return
    fi
    if [ "$(($(wc -c <"$1")))" != 1024 ]; then
        s_damage='it has not 1024 bytes'
        return
    fi
    block=$(tr -d '\000' <"$1")
    case $block in
        '# GRUB Environment Block'*) ;;
        *) s_damage='it does not begin as a GRUB environment block'; return ;;
    esac
    version=''
    while IFS= read -r line; do
        case $line in
            dr_version=*) version=${line#*=} ;;
            dr_order=*) s_order=${line#*=} ;;
            dr_a=*) s_a=${line#*=} ;;
            dr_b=*) s_b=${line#*=} ;;
            dr_tries=*) s_tries=${line#*=} ;;
            dr_next=*) s_next=${line#*=} ;;
            dr_generation=*) s_generation=${line#*=} ;;
        esac
    done <<END
$block
END
    if [ "$version" != 1 ]; then
        s_damage='its format is not known'
        return
    fi
    case $s_order in
        a | b | 'a b' | 'b a') ;;
        *) s_damage='its order of slots is not known'; return ;;
    esac
    case $s_a in good | trying | bad | empty) ;; *) s_damage='slot a has an unknown state'; return ;; esac
    case $s_b in good | trying | bad | empty) ;; *) s_damage='slot b has an unknown state'; return ;; esac
    s_tries=$(number "$s_tries")
    s_generation=$(number "$s_generation")
    case $s_next in a | b | r | '') ;; *) s_next='' ;; esac
}

# read_state: fails where neither copy is good; damage_state and damage_copy are what is wrong with each
read_state() {
    parse "$dispatch/state.copy"
    damage_copy=$s_damage newest=$s_generation
    parse "$dispatch/state"
    damage_state=$s_damage
    if [ -n "$damage_copy" ]; then
        [ -z "$damage_state" ]
    elif [ -n "$damage_state" ] || [ "$newest" -gt "$s_generation" ]; then
        parse "$dispatch/state.copy"
    fi
}

state_of() { eval "printf '%s\n' \"\$s_$1\""; }

# What the dispatcher boots next, the one-shot left aside.
choice() {
    for one in $s_order; do
        case $(state_of "$one") in
            good) echo "$one"; return ;;
            trying) case $s_tries in 1 | 2 | 3) echo "$one"; return ;; esac ;;
        esac
    done
    echo r
}

boots_next() {
    if [ -n "$s_next" ]; then echo "$s_next"; else choice; fi
}

# A slot is being tried, and another system came up.
fell_back() {
    [ -n "$running$mode" ] && [ "$(state_of "${s_order%% *}")" = trying ] && [ "$running" != "${s_order%% *}" ]
}

# -- the records ----------------------------------------------------------------------------------

# record SLOT KEY: a text of the slot's record, nothing where it has none
record() {
    sed -n "s/^ \"$2\": \"\([^\"\\\\]*\)\",\{0,1\}\$/\1/p" "$dispatch/slots/$1.json" 2>/dev/null | head -n 1
}

text='"[^"\\]*"'
outcome_line="^{\"time\": $text, \"slot\": \"[ab]\", \"run_id\": $text, \"event\": $text, \"reason\": $text}\$"
outcomes() {
    # Bytes zero, as a cut may leave them, would make grep take the file for a binary one.
    [ -r "$dispatch/outcomes.jsonl" ] && tr -d '\000' <"$dispatch/outcomes.jsonl" | grep "$outcome_line"
}

# What the slot on trial said of each try that it ended by itself, as "RUN uptime=N slot=S reason=TEXT".
tries_ended() {
    for log in "$dispatch"/runs/*/trial.log; do
        [ -r "$log" ] || continue
        run=${log%/trial.log}
        sed -n "s/^uptime=[0-9]* slot=[ab] reason=/${run##*/} &/p" "$log"
    done | tail -n "$shown_outcomes"
}
"""

CHANGE = r"""
# -- changes --------------------------------------------------------------------------------------

# One writer at a time, of the slot state and of the fact; the engine locks the same folder.
lock() {
    if command -v flock >/dev/null; then
        exec 9<"$dispatch"
        flock 9
    fi
}

is_read_only() { grep -q "^[^ ]* $dispatch [^ ]* ro[, ]" "$proc/mounts"; }

# The dispatch file system is writable for the moment of the change only; the remount also writes its
# journal back, which GRUB does not read.
begin_change() {
    [ "$(id -u)" = 0 ] || [ -n "$root" ] || die "only root may change anything"
    mounted
    lock
    if is_read_only; then
        mount -o remount,rw "$dispatch" || die "$dispatch cannot be made writable"
        trap 'mount -o remount,ro "$dispatch" || echo "dualroot-slot: $dispatch stays writable" >&2' EXIT
        trap 'exit 1' HUP INT TERM
    fi
}

block_of() {
    printf '# GRUB Environment Block\ndr_version=1\ndr_generation=%s\ndr_order=%s\n' "$s_generation" "$s_order"
    printf 'dr_a=%s\ndr_b=%s\ndr_tries=%s\ndr_next=%s\n' "$s_a" "$s_b" "$s_tries" "$s_next"
    printf '%1024s' '' | tr ' ' '#'
}

same_block() { block_of | head -c 1024 | cmp -s - "$1"; }
replace() { sync && mv -f "$1.new" "$1" && sync; }

# One sector, in place: GRUB would not see a file that was replaced. A misshapen copy is made anew.
write_copy() {
    if [ -f "$1" ] && [ "$(($(wc -c <"$1")))" = 1024 ]; then
        block_of | head -c 512 | dd of="$1" bs=512 count=1 conv=notrunc,fsync 2>/dev/null
        # The second sector is padding since the file was made.
        same_block "$1" || block_of | head -c 1024 | dd of="$1" bs=1024 count=1 conv=notrunc,fsync 2>/dev/null
    else
        block_of | head -c 1024 >"$1.new" && replace "$1"
    fi
    same_block "$1"
}

write_state() {
    [ "$newest" -le "$s_generation" ] || s_generation=$newest
    s_generation=$((s_generation + 1))
    for file in state state.copy; do
        write_copy "$dispatch/$file" || die "$dispatch/$file could not be written"
    done
}

note() {
    [ -n "${3:-}" ] || set -- "$1" "$2" ''
    time=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    run=$(record "$1" run_id)
    # A host that was converted before there were records.
    [ -n "$run" ] || [ "$1" != "$running" ] || run=$running_run
    {
        outcomes | tail -n 199
        printf '{"time": "%s", "slot": "%s", "run_id": "%s", "event": "%s", "reason": "%s"}\n' \
            "$time" "$1" "$(plain "$run")" "$2" "$(plain "$3")"
    } >"$dispatch/outcomes.jsonl.new" && replace "$dispatch/outcomes.jsonl"
}

# For slot-outcome, which tells from it where this trial begins; see outcome.note_tries.
note_tries() {
    run=$(record "$1" run_id)
    [ -z "$run" ] || mkdir -p "$dispatch/runs/$run"
    [ -z "$run" ] || echo "uptime=0 slot=$1 left=$2 given" >>"$dispatch/runs/$run/trial.log"
}

# change WORD TARGET [TRIES]
change() {
    was=$(choice) others=''
    for one in $s_order; do [ "$one" = "$2" ] || others="$others $one"; done
    if [ "$1" != bad ] && is_slot "$2" && [ "$(state_of "$2")" = empty ] && [ -z "$force" ]; then
        die "slot $2 holds nothing that could be booted"
    fi
    case $1 in
        good) eval "s_$2=good"; s_order="$2$others" s_tries=0 ;;
        try) eval "s_$2=trying"; s_order="$2$others" s_tries=${3:-3} ;;
        bad) [ "$(state_of "$2")" != trying ] || s_tries=0; eval "s_$2=bad" ;;
        next) if [ "$2" = none ]; then s_next=''; else s_next=$2; fi ;;
    esac
    if [ "$(choice)" = r ] && [ "$was" != r ] && [ -z "$force" ]; then
        die "slot $2 is the last slot that may be booted; mark the other one good first, or use --force"
    fi
}

# The state is looked at under the lock: whoever marked it good or bad meanwhile was right.
again() {
    begin_change
    read_state || die "neither copy of the slot state below $dispatch can be read"
    [ "$(state_of "$1")" = trying ] && [ "$1" = "${s_order%% *}" ] && [ "$s_tries" != 3 ] || return 0
    s_tries=3
    write_state
    note_tries "$1" 3
}

mark() {
    begin_change
    read_state || die "neither copy of the slot state below $dispatch can be read"
    before="$s_order $s_a $s_b $s_tries $s_next"
    change "$@"
    if [ "$before" != "$s_order $s_a $s_b $s_tries $s_next" ] || [ -n "$damage_state$damage_copy" ]; then
        write_state
    fi
}
"""
