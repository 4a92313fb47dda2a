# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Private to ``root_overlay``: what the initramfs and the slot run. In Python, because only that reaches a host.

The program is POSIX sh for the shells of initramfs-tools and dracut. Of tools it needs mount, mkdir and sleep;
what else it uses is the slot's own.
"""

PROGRAM = """\
#!/bin/sh
# dualroot.migrate: lays an overlay over the slot's own root, which is mounted read-only at $1 and stays so.
# The slot's own root, the upper part in memory and the data are left below $place; what went wrong is in its
# file "state". It ends with 0 when there is an overlay over the whole root, be it one that lasts less than asked for.

new=$1
settings=${DUALROOT_SETTINGS:-/dualroot/settings}
place=${DUALROOT_PLACE:-/run/dualroot/root}
proc=${DUALROOT_PROC:-/proc}
. "$settings"
lower=$place/lower
upper=$place/upper
data=$place/data
# Of this system in this slot, below the data.
mine=.dualroot/root/$SLOT/$RUN_ID
# What tells of the packages in the root must not outlive the root that it tells of.
packages="/var/lib/dpkg /var/lib/rpm /usr/lib/sysimage/rpm"
problem=
umask 022

say() {
    { echo "dualroot: root: $*" >/dev/kmsg; } 2>/dev/null || echo "dualroot: root: $*" >&2
}

# fails PROBLEM: remembers the first one
fails() {
    say "$1"
    [ -n "$problem" ] || problem=$1
    return 1
}

knows_overlays() {
    while read -r first second; do
        if [ "$first" = overlay ] || [ "$second" = overlay ]; then return 0; fi
    done <"$proc/filesystems"
    return 1
}

# The initramfs need not have the module; the slot has it.
load_module() {
    knows_overlays || modprobe overlay 2>/dev/null || modprobe -d "$new" overlay 2>/dev/null
    knows_overlays || fails "the kernel has no overlays"
}

# slot_tool NAME ARGUMENT ...: a program of the slot, with the slot's own loader and libraries. An initramfs has few
# tools, and dracut's not even chroot.
slot_tool() {
    name=$1
    shift
    loader=
    libraries=
    for folder in "$new"/usr/lib/*-linux-gnu "$new"/lib/*-linux-gnu "$new/usr/lib64" "$new/lib64"; do
        [ -d "$folder" ] || continue
        libraries=$libraries${libraries:+:}$folder
        for file in "$folder"/ld-linux*.so.*; do
            if [ -z "$loader" ] && [ -f "$file" ]; then loader=$file; fi
        done
    done
    for folder in usr/bin bin; do
        if [ -f "$new/$folder/$name" ]; then
            "$loader" --library-path "$libraries" "$new/$folder/$name" "$@"
            return
        fi
    done
    return 1
}

# prepare FOLDER LIKE: an upper part in the data; its top gets the looks of LIKE in the slot
prepare() {
    mkdir -p "$data/$1/work" || return 1
    [ ! -d "$data/$1/upper" ] || return 0
    mkdir -p "$data/$1/new" &&
        slot_tool chown --reference="$new$2" "$data/$1/new" &&
        slot_tool chmod --reference="$new$2" "$data/$1/new" &&
        slot_tool mv -T "$data/$1/new" "$data/$1/upper"
}

prepare_all() {
    if [ "$MODE" = overlay-data ]; then
        prepare "$mine/root" / || return 1
    fi
    for path in $PERSIST; do
        if [ ! -d "$new$path" ] || [ -h "$new$path" ]; then
            fails "$path is no folder of the slot"
            return 1
        fi
        prepare "$mine/persist$path" "$path" || return 1
    done
    slot_tool chmod 700 "$data/.dualroot"
    # What an earlier system has left in this slot would hide files of this one.
    for old in "$data/.dualroot/root/$SLOT"/*; do
        [ "$old" = "$data/$mine" ] || slot_tool rm -rf --one-file-system "$old"
    done
}

check_data() {
    if [ -n "$DATA_VOLUME" ]; then
        # Only the root's volume is active yet.
        lvm lvchange -aay -y --sysinit "$DATA_VOLUME" >/dev/null 2>&1
    fi
    left=30
    while [ ! -e "$DATA_DEVICE" ] && [ "$left" -gt 0 ]; do
        sleep 1
        left=$((left - 1))
    done
    [ -e "$DATA_DEVICE" ] || { fails "$DATA_DEVICE is not there"; return 1; }
    if [ "$DATA_KIND" = ext4 ] && command -v e2fsck >/dev/null; then
        # Nobody can check it later, for it is in use from here on. Up to 3: mended (e2fsck(8)).
        e2fsck -p "$DATA_DEVICE" >/dev/null 2>&1
        [ $? -lt 4 ] || { fails "$DATA_DEVICE has errors that a person must look at"; return 1; }
    fi
}

# Tells whether the data is mounted and holds every upper part that it shall.
open_data() {
    check_data || return 1
    mkdir -p "$data"
    if ! mount -t "$DATA_KIND" -o "$DATA_OPTIONS" "$DATA_DEVICE" "$data"; then
        fails "$DATA_DEVICE cannot be mounted"
        return 1
    fi
    prepare_all || fails "$DATA_DEVICE cannot hold what persists"
    [ -z "$problem" ]
}

# over LOWER FOLDER TARGET
over() {
    mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" dualroot "$3"
}

# persist PATH: from here on it is what the data hold of it, over what the slot holds
persist() {
    for one in $packages; do
        case "$one" in "$1"/*)
            if [ -d "$new$one" ]; then
                mkdir -p "$place/packages$one"
                mount -o bind "$new$one" "$place/packages$one"
            fi ;;
        esac
    done
    over "$lower$1" "$data/$mine/persist$1" "$new$1" || { fails "$1 cannot persist"; return 1; }
    for one in $packages; do
        case "$one" in "$1"/*)
            if [ -d "$place/packages$one" ]; then mount -o bind "$place/packages$one" "$new$one"; fi ;;
        esac
    done
}

lay() {
    load_module || return 1
    mkdir -p "$lower" "$upper"
    # Where mounts are shared (systemd in dracut's initramfs), what is laid over the one would be laid over the other.
    mount --make-private "$new" 2>/dev/null
    mount -o bind "$new" "$lower" || { fails "the slot's root cannot be mounted a second time"; return 1; }
    if [ -n "$DATA_DEVICE" ] && open_data; then lasts=1; else lasts=; fi
    folder=$data/$mine/root
    if [ "$MODE" != overlay-data ] || [ -z "$lasts" ]; then
        # A host that forgets can be reached and mended; one without a root cannot.
        mount -t tmpfs -o "mode=0755,size=$MEMORY" dualroot "$upper" || { fails "no upper part in memory"; return 1; }
        folder=$upper/root
        mkdir -p "$folder/upper" "$folder/work"
    fi
    over "$lower" "$folder" "$new" || { fails "the overlay cannot be mounted"; return 1; }
    [ -n "$lasts" ] || return 0
    for path in $PERSIST; do
        persist "$path"
    done
    return 0
}

mkdir -p "$place"
chmod 700 "$place" 2>/dev/null
line=
read -r line <"$proc/cmdline"
case " $line " in
    *" dualroot.root=rw "*) fails "an overlay is not wanted: dualroot.root=rw" ;;
    *) lay && laid=1 ;;
esac
{
    echo "MODE=${laid:+$MODE}"
    echo "PROBLEM='$problem'"
} >"$place/state"
[ -z "$problem" ] || case " $line " in
    *" dualroot.root=rw "*) ;;
    *" dualroot.trial "*)
        # On trial, what is not as the layout says is no success: the dispatcher counts the tries.
        say "the slot is on trial: it restarts"
        sync
        sleep 3
        echo b >"$proc/sysrq-trigger"
        ;;
esac
if [ -z "$laid" ]; then
    mount -o remount,rw "$new"
    exit 1
fi
say "$MODE${problem:+, but $problem}"
"""

#: initramfs-tools reads all of conf/conf.d first, and then the boot script that it names (initramfs-tools(7)).
INITRAMFS_TOOLS_CHOICE = "BOOT=dualroot\n"
INITRAMFS_TOOLS = """\
# dualroot.migrate: the local root as always, and then the overlay; see /dualroot/root.
. /scripts/local

mount_bottom() {
    local_bottom
    sh /dualroot/root "${rootmnt}"
}
"""
#: dracut.modules(7): the last hook before the new root is switched to.
DRACUT = """\
# dualroot.migrate: see /dualroot/root.
sh /dualroot/root "$NEWROOT"
"""

COMMAND = """\
#!/bin/sh
# dualroot-root: the root of this slot, which lies read-only below an overlay. Written by dualroot.migrate.
#
#   dualroot-root              says how the root is mounted
#   dualroot-root run COMMAND  runs a command in the slot's own root; what it changes there lasts, and is seen
#                              after the next start
#   dualroot-root kernels      copies kernels that were installed in the running system to where the dispatcher
#                              finds them (the hooks of kernel packages do that)
set -eu

place=${DUALROOT_PLACE:-/run/dualroot/root}
system=${DUALROOT_SYSTEM:-}
lower=$place/lower
MODE=''
PROBLEM=''
[ ! -r "$place/state" ] || . "$place/state"

read_only() {
    # A journal may be written a moment longer.
    for _ in 1 2 3 4 5; do
        sync
        mount -o remount,ro "$lower" 2>/dev/null && return
        sleep 1
    done
    echo "dualroot-root: $lower stays writable until the next start" >&2
}

writable() {
    mount -o remount,rw "$lower"
    trap read_only EXIT
    trap 'exit 1' HUP INT TERM
}

status() {
    echo "mode: ${MODE:-rw}"
    [ -z "$PROBLEM" ] || echo "problem: $PROBLEM"
    [ -z "$MODE" ] || echo "slot's own root: $lower"
}

# run COMMAND: mounts of its own, so that nothing of it stays behind
run() {
    writable
    unshare --mount --propagation private -- /bin/sh -c '
        lower=$1
        shift
        for one in dev proc sys run; do mount --bind "/$one" "$lower/$one" || exit 1; done
        mount -t tmpfs -o mode=1777 dualroot "$lower/tmp" || exit 1
        ! mountpoint -q /boot/dispatch || mount --bind /boot/dispatch "$lower/boot/dispatch"
        exec chroot "$lower" "$@"
    ' sh "$lower" "$@"
}

# copy FILE: from the running system into the slot's own root, as a whole or not at all
copy() {
    cmp -s "$system$1" "$lower$1" || {
        cp -p "$system$1" "$lower$1.new"
        sync "$lower$1.new"
        mv -f "$lower$1.new" "$lower$1"
    }
}

copy_modules() {
    # Where lib is a link to usr/lib, both are the same folder.
    folder=/usr/lib/modules
    [ -d "$system$folder/$1" ] || folder=/lib/modules
    [ -d "$system$folder/$1" ] || return 0
    # Complete only with what depmod makes, which runs before the hooks.
    cmp -s "$system$folder/$1/modules.dep" "$lower$folder/$1/modules.dep" && return
    rm -rf "${lower:?}$folder/$1" "$lower$folder/$1.new"
    mkdir -p "$lower$folder"
    cp -a "$system$folder/$1" "$lower$folder/$1.new"
    sync -f "$lower$folder"
    mv -T "$lower$folder/$1.new" "$lower$folder/$1"
}

initrd_of() {
    for name in "initrd.img-$1" "initramfs-$1.img" "initrd-$1"; do
        if [ -s "$2/boot/$name" ]; then echo "$name"; return; fi
    done
}

kernels() {
    case "$MODE" in
        "") return ;;
        overlay-tmpfs)
            echo "dualroot-root: the root lies in memory: this kernel is gone at the next start;" \\
                "\\"dualroot-root run\\" installs one that stays" >&2
            return
            ;;
    esac
    writable
    for kernel in "$system"/boot/vmlinuz-*; do
        release=${kernel##*/vmlinuz-}
        initrd=$(initrd_of "$release" "$system")
        if [ ! -s "$kernel" ] || [ -z "$initrd" ]; then continue; fi
        copy_modules "$release"
        copy "/boot/$initrd"
        copy "/boot/vmlinuz-$release"
    done
    DUALROOT_ROOT="$lower" DUALROOT_FROM="${system:-/}" "$system/usr/local/lib/dualroot/slot-entry"
    running=$(uname -r)
    for kernel in "$lower"/boot/vmlinuz-*; do
        release=${kernel##*/vmlinuz-}
        if [ -e "$system/boot/vmlinuz-$release" ] || [ "$release" = "$running" ]; then continue; fi
        rm -f "$kernel" "$lower/boot/$(initrd_of "$release" "$lower")"
        rm -rf "$lower/usr/lib/modules/$release"
    done
}

case "${1:-status}" in
    status) status ;;
    kernels) kernels ;;
    run)
        shift
        [ $# -gt 0 ] || { echo "usage: dualroot-root run COMMAND ..." >&2; exit 2; }
        [ -n "$MODE" ] || exec "$@"
        run "$@"
        ;;
    *)
        echo "usage: dualroot-root [status | kernels | run COMMAND ...]" >&2
        exit 2
        ;;
esac
"""
