# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Private to ``dispatcher``: the GRUB script that chooses a slot.

``@NAME@`` marks what ``dispatcher.render`` fills in. It lives in Python and not in a file of its own
because module_utils reach a host as Python modules only.

GRUB script has traps that this text avoids: an unknown command counts as success in ``if``; a
failing ``initrd`` in a menu entry does not keep the kernel from being booted without it; arithmetic
does not exist, so counting is a chain of ``if``; and a variable cannot be named by another one.
"""

SCRIPT = """\
# dualroot.migrate dispatcher: chooses the slot to boot. Written by dualroot.migrate; local changes
# are lost at the next migration or update. Commands common to all builds of GRUB 2.06 or later only.

set dr_disk="$root"
set dr_state="($dr_disk)/state"
set dr_other="($dr_disk)/state.copy"
@TERMINAL@
# -- the state file and its copy ------------------------------------------------------------------

# dr_read FILE: the variables of one copy; dr_version stays empty where it is missing or damaged
function dr_read {
  unset dr_version ; unset dr_generation ; unset dr_order ; unset dr_tries ; unset dr_next
@UNSET_STATES@
  if [ -f "$1" ]; then
    load_env --skip-sig --file "$1" dr_version dr_generation dr_order@STATE_NAMES@ dr_tries dr_next
  fi
}

# dr_commit: write tries and next to both copies, then read back: dr_committed is 1 only if it holds.
# Without this proof a state file that cannot be written would boot an untested slot forever.
function dr_commit {
  set dr_committed=0
  set dr_wanted_tries="$dr_tries"
  set dr_wanted_next="$dr_next"
  save_env --file "$dr_state" dr_tries dr_next
  save_env --file "$dr_other" dr_tries dr_next
  dr_read "$dr_state"
  if [ "$dr_version" = 1 -a "$dr_tries" = "$dr_wanted_tries" -a "$dr_next" = "$dr_wanted_next" ]; then
    set dr_committed=1
  fi
}

# dr_state_of SLOT: sets dr_found
function dr_state_of {
  set dr_found=empty
@STATE_OF@
}

# dr_label_of SLOT: sets dr_label, for people
function dr_label_of {
  dr_state_of "$1"
  set dr_label="$dr_found"
  if [ "$dr_found" = trying ]; then
    set dr_label="trying, $dr_tries more tries"
  fi
}

# The newer copy counts; the first of two equals, because it is written first.
dr_read "$dr_other"
set dr_other_version="$dr_version"
set dr_other_generation="$dr_generation"
dr_read "$dr_state"
set dr_swap=0
if [ "$dr_other_version" = 1 ]; then
  if [ "$dr_version" != 1 ]; then
    set dr_swap=1
  elif [ "$dr_other_generation" -gt "$dr_generation" ]; then
    set dr_swap=1
  fi
fi
if [ "$dr_swap" = 1 ]; then
  set dr_first="$dr_state"
  set dr_state="$dr_other"
  set dr_other="$dr_first"
  dr_read "$dr_state"
fi

# -- the choice -----------------------------------------------------------------------------------

set dr_slot=""
set dr_why=""
set dr_after=""
set dr_lost=0
if [ "$dr_version" != 1 ]; then
  # Nothing is known of any slot: the usual order, and nothing is counted.
  set dr_lost=1
  set dr_order="@ORDER@"
  set dr_slot="@FIRST@"
  set dr_why="state-lost"
fi

# A one-shot counts only if it could be struck out first: else it would repeat forever.
if [ "$dr_lost" = 0 -a -n "$dr_next" ]; then
  set dr_once="$dr_next"
  set dr_next=""
  dr_commit
  if [ "$dr_committed" = 1 ]; then
    if [ @ONCE_NAMES@ ]; then
      set dr_slot="$dr_once"
      set dr_why="one-shot"
    fi
  fi
fi

if [ -z "$dr_slot" ]; then
  for dr_one in $dr_order ; do
    if [ -z "$dr_slot" ]; then
      dr_state_of "$dr_one"
      if [ "$dr_found" = good ]; then
        set dr_slot="$dr_one"
        set dr_why="good"
      elif [ "$dr_found" = trying ]; then
        set dr_left=""
        if [ "$dr_tries" = 3 ]; then set dr_left=2 ; fi
        if [ "$dr_tries" = 2 ]; then set dr_left=1 ; fi
        if [ "$dr_tries" = 1 ]; then set dr_left=0 ; fi
        if [ -n "$dr_left" ]; then
          set dr_tries="$dr_left"
          dr_commit
          if [ "$dr_committed" = 1 ]; then
            set dr_slot="$dr_one"
            set dr_why="trying-$dr_left-left"
          fi
        fi
      fi
    fi
  done
fi

if [ -z "$dr_slot" ]; then
  set dr_slot=r
  set dr_why="no-bootable-slot"
fi

# -- the ways to boot -----------------------------------------------------------------------------

# dr_boot_slot SLOT: returns only if the slot cannot be loaded
function dr_boot_slot {
  unset dr_volume ; unset dr_kernel ; unset dr_initrd
  set dr_run="@RUN@"
  set dr_arguments="@ARGUMENTS@"
  set dr_trial=""
  dr_state_of "$1"
  if [ "$dr_lost" = 0 -a "$dr_found" = trying ]; then
    set dr_trial="@TRIAL@"
  fi
@VOLUME_OF@
  # The slot's own choice of kernel, kept up to date by its kernel hooks.
  if [ -f "($dr_volume)/boot/dualroot/slot.cfg" ]; then
    source "($dr_volume)/boot/dualroot/slot.cfg"
  fi
  if [ -z "$dr_kernel" -o ! -f "($dr_volume)$dr_kernel" -o ! -f "($dr_volume)$dr_initrd" ]; then
    set dr_kernel=/vmlinuz
    set dr_initrd=/initrd.img
  fi
  echo "dualroot: boot slot=$1 device=$dr_volume kernel=$dr_kernel"
  set dr_line="root=$dr_root ro @SLOT_FIXED@ rd.lvm.lv=$dr_lvm dualroot.slot=$1 dualroot.run=$dr_run"
  # Asked before: a kernel that is loaded and not booted spoils the command line of the one that is tried next (GRUB
  # 2.12 frees the new one with the old one). A link that leads nowhere is a file to -f, but has no size.
  if [ ! -s "($dr_volume)$dr_initrd" ]; then
    echo "dualroot: slot $1 has no $dr_initrd"
  elif linux "($dr_volume)$dr_kernel" $dr_line $dr_trial $dr_after $dr_arguments; then
    # What lays an overlay over a root that is read only (root_overlay).
    set dr_beside=""
    if [ -f "($dr_volume)/boot/dualroot/root.cpio" ]; then
      set dr_beside="($dr_volume)/boot/dualroot/root.cpio"
    fi
    # On trial, what restarts an initramfs that hangs lies beside the slot's own.
    if [ -n "$dr_trial" -a -f "($dr_disk)/trial.cpio" ]; then
      set dr_beside="$dr_beside ($dr_disk)/trial.cpio"
    fi
    if initrd "($dr_volume)$dr_initrd" $dr_beside; then
      boot
    fi
  fi
  echo "dualroot: slot $1 cannot be loaded"
}

@OLD@# dr_boot_recovery REASON: returns only if the recovery system cannot be loaded
function dr_boot_recovery {
  echo "dualroot: boot recovery reason=$1"
  set dr_line="dualroot.mode=recovery @RECOVERY_FIXED@ dualroot.run=@RUN@ dualroot.reason=$1"
  if linux "($dr_disk)/recovery/vmlinuz" $dr_line @ARGUMENTS@; then
    if [ -f "($dr_disk)/recovery/host.cpio" ]; then
      if initrd "($dr_disk)/recovery/initrd.img" "($dr_disk)/recovery/host.cpio"; then
        boot
      fi
    elif initrd "($dr_disk)/recovery/initrd.img"; then
      boot
    fi
  fi
  echo "dualroot: the recovery system cannot be loaded"
}

# dr_otherwise NAME: what follows when NAME could not be loaded: each other good slot, the recovery
# system, and the same again after a pause; never a prompt.
function dr_otherwise {
  # For the outcome that the system records which runs instead.
  set dr_after="dualroot.after=$1"
  for dr_one in $dr_order ; do
    dr_state_of "$dr_one"
    if [ "$dr_one" != "$1" ]; then
      if [ "$dr_found" = good -o "$dr_lost" = 1 ]; then
        @BOOT@ "$dr_one"
      fi
    fi
  done
  if [ "$1" != r ]; then
    dr_boot_recovery "slot-$1-cannot-be-loaded"
  fi
  echo "dualroot: nothing could be loaded; next try in @PAUSE@ s"
  sleep @PAUSE@
  reboot
}

# -- the menu -------------------------------------------------------------------------------------

@UNSET_TITLES@
if [ -f "($dr_disk)/titles" ]; then
  load_env --skip-sig --file "($dr_disk)/titles"@TITLE_NAMES@
fi
@MENU@
menuentry "Recovery system (by SSH)" --id r {
  if [ "$dr_why" = no-bootable-slot ]; then dr_boot_recovery no_slot ; fi
  dr_boot_recovery chosen
  dr_otherwise r
}
menuentry "Start again" --id again {
  reboot
}

set default="$dr_slot"
set fallback="@FALLBACK@"
# Hidden, ESC alone stops the countdown. In a menu that is shown any key does, for good: one byte of noise on a serial
# line, and the host would wait for a person at every start.
set timeout_style=hidden
set timeout=@TIMEOUT@
echo "dualroot: ESC within @TIMEOUT@ s shows the menu"
echo "dualroot: slot=$dr_slot why=$dr_why tries=$dr_tries generation=$dr_generation state=$dr_state"
"""

#: Where the old system is kept until commit: in place of a slot that is not installed yet.
OLD = """\
# dr_boot_old: the old system, kept until commit, by its own kernel; returns only if it cannot be loaded
function dr_boot_old {
  set dr_volume=""
  search --no-floppy --fs-uuid --set=dr_volume @OLD_UUID@
  if [ -z "$dr_volume" ]; then
    echo "dualroot: the old root is not found"
  else
    # A run that was staged in it: the one-shot of its own boot loader, struck out first, as that would.
    for dr_folder in /boot/grub /boot/grub2 ; do
      set next_entry=""
      if [ -f "($dr_volume)$dr_folder/grubenv" -a -f "($dr_volume)$dr_folder/custom.cfg" ]; then
        load_env --skip-sig --file "($dr_volume)$dr_folder/grubenv" next_entry
      fi
      if [ "$next_entry" = "@ONE_SHOT@" ]; then
        set next_entry=""
        save_env --file "($dr_volume)$dr_folder/grubenv" next_entry
        set next_entry=kept
        load_env --skip-sig --file "($dr_volume)$dr_folder/grubenv" next_entry
        if [ -z "$next_entry" ]; then
          echo "dualroot: boot one-shot of the old system"
          set default="@ONE_SHOT@"
          set timeout=0
          export default
          export timeout
          configfile "($dr_volume)$dr_folder/custom.cfg"
        fi
      fi
    done
    echo "dualroot: boot old system device=$dr_volume kernel=@OLD_KERNEL@"
    if linux "($dr_volume)@OLD_KERNEL@" @OLD_ARGUMENTS@ @OLD_FIXED@ dualroot.mode=old dualroot.run=@RUN@; then
      if initrd "($dr_volume)@OLD_INITRD@"; then
        boot
      fi
    fi
  fi
  echo "dualroot: the old system cannot be loaded"
}

# dr_boot SLOT: as dr_boot_slot
function dr_boot {
  if [ "$1" = @OLD_SLOT@ ]; then
    dr_boot_old
  else
    dr_boot_slot "$1"
  fi
}

"""

#: What runs inside the core image before any file is read; GRUB's rescue parser: one command a line.
EARLY = """\
@TERMINAL@configfile $prefix/grub.cfg
echo "dualroot: the dispatcher cannot be read; next try in @PAUSE@ s"
sleep @PAUSE@
reboot
"""
