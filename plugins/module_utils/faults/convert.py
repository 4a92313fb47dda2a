# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of the reboot into stage two and of the wait for what comes out of it."""

from __future__ import annotations

from .fault import FaultKind

LOCAL_CONNECTION = FaultKind(
    id="convert.local_connection",
    phase="convert",
    what="The host is the controller itself (connection {transport})",
    why="The conversion reboots the host, and the controller must stay up to lead it.",
    how="Run the playbook from another machine and reach this one over SSH.",
)
NO_ANSWER = FaultKind(
    id="convert.no_answer",
    phase="convert",
    what="The host does not answer over SSH: {detail}",
    why="Which system it runs cannot be told, so nothing was started.",
    how="Make `ansible HOST -m ansible.builtin.raw -a true` work for this host, then run again.",
)
REBOOT_REFUSED = FaultKind(
    id="convert.reboot_refused",
    phase="convert",
    what="The reboot could not be started: {detail}",
    why="The command that reboots the host needs root and was refused; the host still runs the old system, untouched.",
    how="Check become for this host (`ansible HOST -b -m ansible.builtin.raw -a id` must say uid=0), then run again.",
)
LOCK_LOST = FaultKind(
    id="convert.lock_lost",
    phase="convert",
    what="The host was taken over by somebody else while this run staged it: {detail}",
    why="The lock of this run expired or was broken, and what is staged now may be the other run's.",
    how="Nothing was started. Find out who leads the host (/var/lib/dualroot/lock there names owner and run), and let "
    "one of the two go on.",
)
REBOOT_IGNORED = FaultKind(
    id="convert.reboot_ignored",
    phase="convert",
    what="The host still runs the old system {seconds} s after the reboot was ordered",
    why="A service does not stop, or something holds back the reboot (systemd inhibitor, molly-guard).",
    how="Look at `systemctl list-jobs` on the host and mend what holds it back. The one-shot entry was "
    "taken back, so a late "
    "reboot ends in the old system; run again afterwards.",
)
FELL_BACK = FaultKind(
    id="convert.fell_back",
    phase="convert",
    what="The host came back in its old system without having been seen in stage two",
    why="The boot loader ignored the one-shot entry, or the convert kernel ended before its network was up; in both "
    "cases nothing was written. Which of the two is not known: GRUB's environment block could not be read.",
    how="Look at the boot messages on the console (serial or hypervisor) during a rehearsal; if stage "
    "two starts there but "
    "is not reachable, compare the captured network in the report with the real one.",
)
ONE_SHOT_IGNORED = FaultKind(
    id="convert.one_shot_ignored",
    phase="convert",
    what="The host started its old system again: its boot loader did not look at the one-shot entry",
    why="The entry still stands in GRUB's environment block, which GRUB clears before it starts one. Another boot "
    "loader or another GRUB started the host (a second disk, a PXE menu, firmware that boots something else). Nothing "
    "was written.",
    how="Find out what the firmware boots (efibootmgr, the boot order of the hypervisor), and that it is the GRUB of "
    "this system; then rehearse until stage two is reached.",
)
ENDED_EARLY = FaultKind(
    id="convert.ended_early",
    phase="convert",
    what="The boot loader took the one-shot entry, and the host came back in its old system without having been seen "
    "in stage two",
    why="GRUB could not load the convert kernel, or it ended before its network was up. Nothing was written.",
    how="Look at the console (serial or hypervisor) during a rehearsal: GRUB says what it loads, and stage two what "
    "it does. If stage two starts there but is not reachable, compare the captured network in the report with the real "
    "one.",
)
RETURNED_SILENTLY = FaultKind(
    id="convert.returned_silently",
    phase="convert",
    what="Stage two went back to the old system and left no reason; it was last seen in phase {phase}",
    why="It ended before its last words could be fetched: a kernel panic, a reset, or a lost network.",
    how="Read /var/lib/dualroot/runs on the host and the console log, then rehearse again before the next attempt.",
)
TRIAL_FAILED = FaultKind(
    id="convert.trial_failed",
    phase="convert",
    what="The new system failed its trial, and the host is back in its old system, which was kept",
    why="{reason}",
    how="Mend the bundle, or what the reason names, and migrate again: the host is as able to as before. Its old boot"
    " loader is gone; the dispatcher starts it until a migration is committed.",
)
HOST_KEY_CHANGED = FaultKind(
    id="convert.host_key_changed",
    phase="convert",
    what="The machine that answers has another SSH host key than before: {detail}",
    why="Stage two and the new system carry the host's own keys, so either another machine answers on "
    "this address or the keys "
    "were not carried over. Waiting longer would not mend it.",
    how="Compare the fingerprint on the console (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`) "
    "with the known one before "
    "trusting it; then run the playbook again, which goes on where the host is.",
)
LOGIN_REFUSED = FaultKind(
    id="convert.login_refused",
    phase="convert",
    what="The host answers over SSH but has refused the login for {seconds} s: {detail}",
    why="The account or its key did not come over, or the system that answers is still starting.",
    how="Log in at the console with the same user and password, look at the sshd log, and mend the "
    "login; then run the "
    "playbook again, which goes on where the host is.",
)
FOREIGN_RUN = FaultKind(
    id="convert.foreign_run",
    phase="convert",
    what="The host runs {system} of another run: {found}, not {wanted}",
    why="A migration of this host was started elsewhere or earlier and was not finished.",
    how="Use the report folder of run {found}, or let that run end; then run again. Never start two "
    "migrations of one host.",
)
FOREIGN_PLAN = FaultKind(
    id="convert.foreign_plan",
    phase="convert",
    what="Stage two holds a plan with digest {found}; the controller's plan has {wanted}",
    why="What is staged on the host is not what was shown, so no go was given and nothing was written.",
    how="Run the disarm playbook for this host and migrate again: staging is repeated with the current plan.",
)
HOLDING = FaultKind(
    id="convert.holding",
    phase="convert",
    what="Stage two stopped at {step} after the point of no return and holds the host there",
    why="A step failed three times; the old system may be gone, so stage two keeps its SSH up and waits for a person.",
    how="Log in to the host with the usual address, user and key, `touch /run/dualroot/hold` (else it starts again "
    "from its lifeboat after a quarter of an hour), read /run/dualroot/log, mend the cause, then "
    "`touch /run/dualroot/retry`; run the playbook again to attach to it.",
)
IN_RECOVERY = FaultKind(
    id="convert.in_recovery",
    phase="convert",
    what="The host runs the recovery system (run {run_id})",
    why="No slot could be booted, or a person chose it.",
    how="Log in with the usual address, user and key; /run/dualroot/status.json and the guide on "
    "recovery say how to go on.",
)
WRONG_SLOT = FaultKind(
    id="convert.wrong_slot",
    phase="convert",
    what="The host runs slot {found} instead of slot {wanted}",
    why="The dispatcher gave up on the planned slot after its tries and took another good one.",
    how="Read the journal of the last boots of slot {wanted} (`journalctl -D` on its mounted root), then run again.",
)
TIMED_OUT = FaultKind(
    id="convert.timed_out",
    phase="convert",
    what="The conversion did not end within {elapsed}; last seen: {last_seen}; now: {now}",
    why="The host hangs, its network is gone, or the work takes longer than dualroot_stage_two_timeout allows.",
    how="Look at the host's console. If stage two still works there, run the playbook again: it attaches "
    "and goes on waiting. "
    "If the host is dark, reset it: before the point of no return it boots its old system.",
)
KINDS = (
    LOCAL_CONNECTION,
    NO_ANSWER,
    REBOOT_REFUSED,
    LOCK_LOST,
    REBOOT_IGNORED,
    FELL_BACK,
    ONE_SHOT_IGNORED,
    ENDED_EARLY,
    RETURNED_SILENTLY,
    TRIAL_FAILED,
    HOST_KEY_CHANGED,
    LOGIN_REFUSED,
    FOREIGN_RUN,
    FOREIGN_PLAN,
    HOLDING,
    IN_RECOVERY,
    WRONG_SLOT,
    TIMED_OUT,
)
