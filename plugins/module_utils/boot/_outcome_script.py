# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Private to ``outcome``: what a good slot and the recovery system run after a fallback.

It stands behind the first two parts of ``dualroot-slot``, whose functions it uses (``_slot_command_script``).
"""

OUTCOME = r"""
# -- why the other slot does not run --------------------------------------------------------------

force=yes changing=''
# What a try looks like that ended before its file systems were mounted, or without a word later on.
unseen='it ended before its services started: no kernel, no root, a panic or a hang'
unheard='it had started and ended without a word: a panic, a hang or a reset'

# What the kernel kept of its panic where the machine has a place for that (pstore), and systemd-pstore brought here.
panic() {
    set --
    for file in "$root"/sys/fs/pstore/dmesg*; do [ ! -f "$file" ] || set -- "$@" "$file"; done
    found=$(find "$root/var/lib/systemd/pstore" -type f -name 'dmesg*' -newer "$proc/1" 2>/dev/null | head -n 20)
    # Unquoted: none of their names has a blank.
    # shellcheck disable=SC2086
    [ -z "$*$found" ] || cat "$@" $found 2>/dev/null | tr -d '\000' |
        sed -n 's/^.*\(Kernel panic - .*\)$/\1/p' | tail -n 1
}

several() { times=$1; while [ "$times" -gt 0 ]; do echo "$2"; times=$((times - 1)); done; }

# read_line LINE: sets given (so many tries, by a person), started (the tries left at a start) or ended (why)
read_line() {
    ended='' started='' given=''
    case $1 in
        *' left='*' started') started=${1##*left=}; started=$(number "${started%% *}") ;;
        *' left='*' given') given=${1##*left=}; given=$(number "${given%% *}") ;;
        *' reason='*) ended=${1#* reason=} ;;
    esac
}

# tries SLOT: one line a try of its last trial, which was given so many (3), and has none left
tries() {
    before=3 open=''
    {
        while IFS= read -r line; do
            read_line "$line"
            if [ -n "$given" ]; then
                echo anew
                before=$given open=''
            elif [ -n "$started" ]; then
                [ -z "$open" ] || echo "$unheard"
                # More tries than before: they were given anew, and what was is another story.
                if [ "$started" -ge "$before" ]; then echo anew; before=3; fi
                several "$((before - started - 1))" "$unseen"
                before=$started open=yes
            elif [ -n "$ended" ]; then
                [ -n "$open" ] || before=$((before - 1))
                echo "$ended"
                open=''
            fi
        done
        [ -z "$open" ] || echo "$unheard"
        several "$before" "$unseen"
    } | sed -n -e 'H; /^anew$/h' -e '$x' -e '$p' | grep -v -e '^$' -e '^anew$'
}

trial_log() {
    run=$(record "$1" run_id)
    for log in "$dispatch"/runs/*/trial.log; do
        case $log in "$dispatch"/runs/${run:-*}/*) grep -a "^uptime=[0-9]* slot=$1 " "$log" 2>/dev/null ;; esac
    done
}

# reason_of SLOT: the same reasons together, as "2 tries: ...; 1 try: ..."
reason_of() {
    last_words=$(panic)
    trial_log "$1" | tries | uniq -c | while read -r times text; do
        case $text in "$unseen" | "$unheard") [ -z "$last_words" ] || text="$text ($last_words)" ;; esac
        if [ "$times" = 1 ]; then echo "1 try: $text"; else echo "$times tries: $text"; fi
    done | sed '$!s/$/; /' | tr -d '\n'
}

# Each start of the good slot comes by here; the same thing is said once.
tell() {
    said=$(plain "$2")
    last=$(outcomes | grep "\"slot\": \"$1\"" | tail -n 1)
    case $last in
        *"\"run_id\": \"$(plain "$(record "$1" run_id)")\", \"event\": \"fell_back\", \"reason\": \"$said\"}") ;;
        *)
            [ -n "$changing" ] || begin_change
            changing=yes
            note "$1" fell_back "$2"
            ;;
    esac
    echo "slot $1 fell back: $2"
}

# give_up SLOT REASON: it is not tried any more
give_up() {
    mark bad "$1"
    changing=yes
    tell "$1" "$2"
}

is_mounted || mount "$dispatch" 2>/dev/null
read_state || exit 0
after=$(argument dualroot.after)
case $(argument dualroot.reason) in
    slot-[ab]-cannot-be-loaded) after=$(argument dualroot.reason | cut -d - -f 2) ;;
esac
for slot in a b; do
    [ "$slot" != "$running" ] || continue
    case $(state_of "$slot") in
        trying)
            if [ "$slot" = "$after" ]; then
                give_up "$slot" 'it cannot be loaded: its kernel or initramfs is missing or cannot be read'
            elif [ "$s_tries" = 0 ]; then
                give_up "$slot" "$(reason_of "$slot")"
            fi
            ;;
        good)
            # It may be a disk that comes late: a person decides.
            [ "$slot" != "$after" ] || tell "$slot" 'it is good and cannot be loaded: look at its kernel and its volume'
            ;;
    esac
done
"""

UNIT = """\
# Written by dualroot.migrate.
[Unit]
Description=Record why the other slot was given up
ConditionKernelCommandLine=dualroot.slot
# A slot on trial does not judge the other one.
ConditionKernelCommandLine=!dualroot.trial
RequiresMountsFor=/boot/dispatch
After=systemd-pstore.service
Before=dualroot-fact.service

[Service]
Type=oneshot
# Most starts have nothing to tell, and end here.
ExecCondition=/bin/sh -c 'grep -Eaqs "^dr_[ab]=trying" /boot/dispatch/state /boot/dispatch/state.copy || \
grep -q " dualroot.after=" /proc/cmdline'
ExecStart=/bin/sh @OUTCOME@

[Install]
WantedBy=multi-user.target
"""
