# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Private to ``slot_command``: ``dualroot-slot``, second half: what it shows, and its command line."""

SHOW = r"""
# -- what is shown --------------------------------------------------------------------------------

quoted() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037' | sed 's/["\\]/\\&/g')"; }
joined() { sed '$!s/$/,/' | tr -d '\n'; }

# File systems on disks, each once, the slot's root first: "DEVICE KIB FREE_KIB MOUNT"
file_systems() {
    df -Pk 2>/dev/null | sed 1d | grep '^/dev/' | while read -r device size _ free _ mount; do
        echo "$device $size $free $mount"
    done
}

# What the checks of the running slot have said since it came up (dualroot-health.service).
health() {
    found=''
    [ ! -r "$root/run/dualroot/health.json" ] || found=$(tr -d '\000-\037' <"$root/run/dualroot/health.json")
    case $found in '{'*'}') echo "$found" ;; *) echo null ;; esac
}

state_shown() {
    found=$(state_of "$1")
    if [ "$found" = trying ]; then
        if [ "$s_tries" = 1 ]; then echo 'trying, 1 try left'; else echo "trying, $s_tries tries left"; fi
    else
        echo "$found"
    fi
}

json_slot() {
    printf '"%s":{"state":"%s"' "$1" "$(state_of "$1")"
    for key in kind name version layout run_id installed payload_sha256 content_sha256 title; do
        printf ',"%s":%s' "$key" "$(quoted "$(record "$1" "$key")")"
    done
    printf '}'
}

json_state() {
    is_back=false
    ! fell_back || is_back=true
    printf '"order":[%s],"tries":%s,"next":"%s",' \
        "$(printf '"%s"' "$s_order" | sed 's/ /","/')" "$s_tries" "$s_next"
    printf '"generation":%s,"boots_next":"%s","fell_back":%s,' "$s_generation" "$(boots_next)" "$is_back"
    printf '"slots":{%s,%s},' "$(json_slot a)" "$(json_slot b)"
}

json_copies() {
    for file in state state.copy; do
        damage=$damage_state
        [ "$file" = state ] || damage=$damage_copy
        printf '{"name":"%s","damage":%s}\n' "$file" "$(quoted "$damage")"
    done | joined
}

show_json() {
    printf '{"running":%s,"run_id":%s,"mode":%s,' "$(quoted "$running")" "$(quoted "$running_run")" "$(quoted "$mode")"
    if read_state; then json_state; fi
    printf '"copies":[%s],' "$(json_copies)"
    printf '"health":%s,' "$(health)"
    printf '"outcomes":[%s],' "$(outcomes | tail -n "$shown_outcomes" | joined)"
    printf '"tries_ended":[%s],' "$(tries_ended | while read -r run rest; do
        slot=${rest#*slot=}
        printf '{"run_id":%s,"slot":"%s","reason":%s}\n' "$(quoted "$run")" "${slot%% *}" "$(quoted "${rest#*reason=}")"
    done | joined)"
    printf '"file_systems":[%s]}\n' "$(file_systems | while read -r device size free mount; do
        printf '{"device":%s,"mount":%s,"size_bytes":%s,"free_bytes":%s}\n' \
            "$(quoted "$device")" "$(quoted "$mount")" "$((size * 1024))" "$((free * 1024))"
    done | joined)"
}

show_slot() {
    marks=''
    [ "$running" != "$1" ] || marks=', runs now'
    [ "$(boots_next)" != "$1" ] || marks="$marks, boots next"
    what=$(record "$1" name)
    [ -z "$what" ] || what=": $what $(record "$1" version)"
    [ -z "$(record "$1" title)" ] || what="$what, $(record "$1" title)"
    [ "$(record "$1" kind)" != old ] || what="$what (the system of before the migration)"
    echo "slot $1 ($(state_shown "$1")$marks)$what"
}

show_state() {
    show_slot a
    show_slot b
    [ "$mode" != recovery ] || echo "the recovery system runs now: $(argument dualroot.reason)"
    [ "$(boots_next)" != r ] || echo "the recovery system boots next"
    ! fell_back || echo "slot ${s_order%% *} is on trial, and another system came up"
}

show_outcomes() {
    outcomes | tail -n "$shown_outcomes" | sed "s/^{\"time\": \"\([^\"]*\)\", \"slot\": \"\([^\"]*\)\", .*\
\"event\": \"\([^\"]*\)\", \"reason\": \"\([^\"]*\)\"}\$/  \1  slot \2  \3  \4/; s/ *\$//"
}

show_text() {
    if read_state; then
        show_state
    else
        echo "the slot state below $dispatch cannot be read: $damage_state; copy: $damage_copy"
    fi
    found=$(show_outcomes)
    [ -z "$found" ] || printf 'what happened, the newest last:\n%s\n' "$found"
    echo 'free space:'
    file_systems | while read -r device size free mount; do
        echo "  $mount: $((free / 1024)) of $((size / 1024)) MiB ($device)"
    done
}

# The last thing that went wrong, and what the tries of that run said.
show_reason() {
    last=$(outcomes | grep -E '"event": "(bad|fell_back|rolled_back|restarted)"' | tail -n 1)
    said=$(tries_ended | sed 's/^[^ ]* uptime=\([0-9]*\) slot=\(.\) reason=/  slot \2, \1 s after its start: /')
    if [ -z "$last$said" ]; then
        echo 'nothing is known to have gone wrong'
        return
    fi
    [ -z "$last" ] || printf '%s\n' "$last" | sed "s/^{\"time\": \"\([^\"]*\)\", \"slot\": \"\([^\"]*\)\", .*\
\"event\": \"\([^\"]*\)\", \"reason\": \"\([^\"]*\)\"}\$/\1  slot \2  \3  \4/; s/ *\$//"
    [ -z "$said" ] || printf 'tries that ended by themselves:\n%s\n' "$said"
}

# -- the fact of Ansible --------------------------------------------------------------------------

fact_slot() {
    printf '    "%s": {\n      "name": %s,\n      "run_id": %s,\n      "state": "%s",\n      "version": %s\n    }' \
        "$1" "$(quoted "$(record "$1" name)")" "$(quoted "$(record "$1" run_id)")" "$(state_of "$1")" \
        "$(quoted "$(record "$1" version)")"
}

# What the installation wrote stays as it is; what may have changed since is told anew. The form is that of
# json.dumps(indent=2, sort_keys=True), see boot/fact.py. Under the lock, for the start of a system writes it while the
# controller that waited for that start marks its slot good: the later writer has to be the one that read later.
write_fact() {
    fact=$root/etc/ansible/facts.d/dualroot.fact
    [ -r "$fact" ] && read_state || return 0
    kept=$(grep -E '^  "(bundle_name|bundle_version|committed|layout|run_id|slot)": ' "$fact" | sed 's/,$//; s/$/,/')
    new=$fact.$$
    {
        printf '{\n  "boots_next": "%s",\n%s\n  "slots": {\n%s,\n%s\n  },\n  "tries": %s\n}\n' \
            "$(boots_next)" "$kept" "$(fact_slot a)" "$(fact_slot b)" "$s_tries"
    } >"$new" || return 0
    if cmp -s "$new" "$fact"; then rm -f "$new"; else mv -f "$new" "$fact"; fi
}

# -- the command line -----------------------------------------------------------------------------

wrong() {
    usage >&2
    exit 2
}

# Options may stand in any place; they are taken out of the arguments.
json='' force='' event='' count=$#
while [ "$count" -gt 0 ]; do
    case $1 in
        --json) json=yes ;;
        --force) force=yes ;;
        --event)
            [ "$count" -gt 1 ] && is_event "$2" || wrong
            event=$2 count=$((count - 1))
            shift
            ;;
        -h | --help) usage; exit 0 ;;
        -*) wrong ;;
        *) set -- "$@" "$1" ;;
    esac
    shift
    count=$((count - 1))
done
word=${1:-status}
[ $# -eq 0 ] || shift
case $word in
    status | reason | fact) [ $# -eq 0 ] || wrong ;;
    good | bad | try) [ $# -ge 1 ] && is_slot "$1" || wrong ;;
    again) [ $# -eq 1 ] && is_slot "$1" || wrong ;;
    next) [ $# -eq 1 ] || wrong; case $1 in a | b | r | none) ;; *) wrong ;; esac ;;
    note) [ $# -ge 2 ] && is_slot "$1" && is_event "$2" || wrong ;;
    help) usage; exit 0 ;;
    *) wrong ;;
esac
case $word in
    status) mounted; if [ -n "$json" ]; then show_json; else show_text; fi ;;
    reason) mounted; show_reason ;;
    fact) mounted; lock; write_fact ;;
    good | bad)
        slot=$1
        shift
        mark "$word" "$slot"
        note "$slot" "${event:-$word}" "${*:-marked by dualroot-slot}"
        write_fact
        show_state
        ;;
    try)
        case ${2:-3} in 1 | 2 | 3) ;; *) wrong ;; esac
        mark try "$1" "${2:-3}"
        note_tries "$1" "${2:-3}"
        [ -z "$event" ] || note "$1" "$event" 'marked by dualroot-slot'
        write_fact
        show_state
        ;;
    again)
        again "$1"
        write_fact
        show_state
        ;;
    next)
        mark next "$1"
        write_fact
        show_state
        ;;
    note)
        slot=$1 event=$2
        shift 2
        begin_change
        note "$slot" "$event" "$*"
        ;;
esac
"""
