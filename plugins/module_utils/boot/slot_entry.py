# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a slot carries so that the dispatcher finds its kernel, now and after its kernel updates.

``/boot/dualroot/slot.cfg`` names kernel and initramfs. Hooks of the distribution's kernel packages run
one script that writes it again. Where the slot's own GRUB understands entries of the Boot Loader Specification
(RHEL family), they are written too (``bls``), and the script takes kernel and arguments from them. The boot loader
itself is none of the slot's business: programs that would install another one are shadowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..archive.durable import write_file
from . import bls, kernels, slot_command
from .dispatcher import check_arguments

CONFIG = "boot/dualroot/slot.cfg"
SETTINGS = "etc/default/dualroot"
SCRIPT_PATH = "usr/local/lib/dualroot/slot-entry"

#: Run-parts folders of Debian's kernel and initramfs packages, and systemd's kernel-install (RHEL family).
HOOK_PATHS = (
    "etc/kernel/postinst.d/zz-dualroot",
    "etc/kernel/postrm.d/zz-dualroot",
    "etc/initramfs/post-update.d/zz-dualroot",
    "etc/kernel/install.d/99-dualroot.install",
)
#: Programs that would take the boot sector over; people find /usr/local/sbin first.
SHADOWED = ("grub-install", "grub2-install")
#: Scripts of packages do not: apt gives them a PATH without it (apt.conf(5), DPkg::Path). dpkg puts what is diverted
#: to its other name, whenever a package brings it (dpkg-divert(1)); the list has three lines for each, the last one
#: the package that diverts, ``:`` for none.
DIVERTED = "usr/sbin/grub-install"
DIVERSIONS = "var/lib/dpkg/diversions"

SCRIPT = """\
#!/bin/sh
# Tells the dispatcher which kernel of this slot to load: the newest one that has an initramfs.
# Run by the kernel packages' hooks; run it by hand after a change of /etc/default/dualroot.
# DUALROOT_ROOT names another root than /, for tests and chroots; DUALROOT_FROM the one whose kernels count.
set -eu

root="${DUALROOT_ROOT:-}"
from="${DUALROOT_FROM:-$root}"
# Below an overlay GRUB sees the slot's own root only: kernels go there first (root_overlay).
if [ -z "$root" ] && [ -x /usr/local/sbin/dualroot-root ] && mountpoint -q /run/dualroot/root/lower; then
    exec /usr/local/sbin/dualroot-root kernels
fi
target="$root/boot/dualroot/slot.cfg"
DUALROOT_RUN=""
DUALROOT_KERNEL_ARGUMENTS=""

# Without the folder this system is not a slot.
[ -d "$root/boot/dualroot" ] || exit 0
if [ -r "$root/etc/default/dualroot" ]; then
    . "$root/etc/default/dualroot"
fi

# Prints RELEASE and INITRD of every kernel that could start.
candidates() {
    for kernel in "$from"/boot/vmlinuz-*; do
        release="${kernel##*/vmlinuz-}"
        case "$release" in
            *rescue* | *.dpkg-* | *.rpm* | *.old* | *.bak*) continue ;;
        esac
        for initrd in "initrd.img-$release" "initramfs-$release.img" "initrd-$release"; do
            if [ -s "$root/boot/vmlinuz-$release" ] && [ -s "$root/boot/$initrd" ]; then
                printf '%s %s\\n' "$release" "$initrd"
                break
            fi
        done
    done
}

newest="$(candidates | sort -V | tail -n 1)"
if [ -z "$newest" ]; then
    echo "dualroot: no kernel with an initramfs in $root/boot; slot.cfg stays as it is" >&2
    exit 0
fi

# field FILE KEY: of an entry of the Boot Loader Specification
field() { sed -n "s/^$2[[:blank:]][[:blank:]]*//p" "$1" | head -n 1; }
release_of() { linux="$(field "$1" linux)"; echo "${linux##*/vmlinuz-}"; }

# The slot's own GRUB has such entries (RHEL family): kernel-install and grubby keep them, so they say which kernel is
# the default and what its arguments are. What the dispatcher sets itself is left out, and words that GRUB would change.
if grep -Eqs '^[[:blank:]]*GRUB_ENABLE_BLSCFG=.?true' "$from/etc/default/grub"; then
    entries="$from/boot/loader/entries"
    saved="$(sed -n 's/^saved_entry=//p' "$from/boot/grub2/grubenv" 2> /dev/null | head -n 1)"
    if [ -n "$saved" ] && [ -f "$entries/$saved.conf" ]; then
        wanted="$(release_of "$entries/$saved.conf")"
        found="$(candidates | while read -r one rest; do [ "$one" != "$wanted" ] || echo "$one $rest"; done)"
        newest="${found:-$newest}"
    fi
    set -f
    for entry in $(set +f; ls "$entries"/*.conf 2> /dev/null); do
        [ "$(release_of "$entry")" = "${newest%% *}" ] || continue
        DUALROOT_KERNEL_ARGUMENTS=""
        for word in $(field "$entry" options); do
            case "$word" in
                root=* | ro | rw | rd.lvm.lv=* | gpt | panic=* | rd.shell=* | rd.emergency=* | dualroot.*) ;;
                *[!A-Za-z0-9_.,:=/@%+~!-]*) ;;
                *) DUALROOT_KERNEL_ARGUMENTS="$DUALROOT_KERNEL_ARGUMENTS${DUALROOT_KERNEL_ARGUMENTS:+ }$word" ;;
            esac
        done
        break
    done
    set +f
fi
release="${newest%% *}"
initrd="${newest#* }"

{
    echo "# Which kernel of this slot the dispatcher loads; written by /usr/local/lib/dualroot/slot-entry."
    echo "set dr_kernel=\\"/boot/vmlinuz-$release\\""
    echo "set dr_initrd=\\"/boot/$initrd\\""
    [ -z "$DUALROOT_RUN" ] || echo "set dr_run=\\"$DUALROOT_RUN\\""
    echo "set dr_arguments=\\"$DUALROOT_KERNEL_ARGUMENTS\\""
} > "$target.new"
if [ -e "$target" ] && cmp -s "$target.new" "$target"; then
    rm -f "$target.new"
    exit 0
fi
sync
mv -f "$target.new" "$target"
sync
# GRUB replays no journal. sync is enough for ext4; XFS must be frozen once. No write happens between.
if [ "$(stat -f -c %T "$root/boot")" = xfs ] && command -v fsfreeze > /dev/null; then
    trap 'fsfreeze --unfreeze "$root/" 2> /dev/null || :' EXIT HUP INT TERM
    fsfreeze --freeze "$root/" && fsfreeze --unfreeze "$root/" || :
    trap - EXIT HUP INT TERM
fi
"""

HOOK = """\
#!/bin/sh
# Keeps the dispatcher's entry of this slot up to date; see /usr/local/lib/dualroot/slot-entry.
[ ! -x /usr/local/lib/dualroot/slot-entry ] || exec /usr/local/lib/dualroot/slot-entry
"""

SHADOW = """\
#!/bin/sh
# The boot loader of this host is the dispatcher on its own partition (/boot/dispatch), which chooses
# between slots. A slot's package scripts must not replace it, and must not fail either.
echo "$(basename "$0"): not run: the dispatcher of dualroot.migrate owns the boot loader" >&2
exit 0
"""


def render(found: kernels.Kernel, run_id: str, arguments: Sequence[str]) -> str:
    """Return the text of ``slot.cfg``; the script in the slot writes the same."""
    lines = [
        "# Which kernel of this slot the dispatcher loads; written by /usr/local/lib/dualroot/slot-entry.",
        f'set dr_kernel="{found.kernel}"',
        f'set dr_initrd="{found.initrd}"',
    ]
    if run_id:
        lines.append(f'set dr_run="{run_id}"')
    lines.append(f'set dr_arguments="{" ".join(check_arguments(arguments))}"')
    return "\n".join(lines) + "\n"


def render_settings(run_id: str, arguments: Sequence[str]) -> str:
    """Return the text of ``/etc/default/dualroot``, which the script in the slot reads."""
    return (
        "# Read by /usr/local/lib/dualroot/slot-entry; run it after a change.\n"
        f'DUALROOT_RUN="{run_id}"\n'
        f'DUALROOT_KERNEL_ARGUMENTS="{" ".join(check_arguments(arguments))}"\n'
    )


def write(root: Path, run_id: str, arguments: Sequence[str]) -> kernels.Kernel:
    """Make the system below ``root`` a slot; return its kernel. Raises ``Fault`` ``boot.no_kernel``."""
    found = kernels.find(root)
    _write(root / CONFIG, render(found, run_id, arguments), 0o644)
    _write(root / SETTINGS, render_settings(run_id, arguments), 0o644)
    _write(root / SCRIPT_PATH, SCRIPT, 0o755)
    bls.write(root, check_arguments(arguments))
    for path in HOOK_PATHS:
        _write(root / path, HOOK, 0o755)
    slot_command.write(root)
    # Also where there is no such program yet: a package that is installed later brings it, and runs it at once.
    for name in SHADOWED:
        _write(root / "usr/local/sbin" / name, SHADOW, 0o755)
    if (root / DIVERSIONS).parent.is_dir():
        _divert(root)
    return found


def _divert(root: Path) -> None:
    """Let dpkg keep its installer of a boot loader under another name, now and in all upgrades."""
    original = root / DIVERTED
    if original.is_file() and original.read_bytes() != SHADOW.encode():
        original.replace(original.with_name(original.name + ".distrib"))
    _write(original, SHADOW, 0o755)
    known = (root / DIVERSIONS).read_text("utf-8") if (root / DIVERSIONS).is_file() else ""
    if f"/{DIVERTED}" not in known.splitlines():
        write_file(root / DIVERSIONS, f"{known}/{DIVERTED}\n/{DIVERTED}.distrib\n:\n".encode(), 0o644)


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, text.encode("ascii"), mode)
