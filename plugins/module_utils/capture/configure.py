# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writing the capture into a new root; doing it twice gives the same tree.

Nothing here touches disks, boot loader or ``fstab``: those follow from the layout, not from the
capture.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..faults.fault import Fault
from ..runner import Runner
from . import accounts_merge, configure_network, configure_system, extra_paths, secure_shell
from .accounts import User
from .tree import exists, inside, names, read_text
from .write import Writer

#: Where new home folders come from (``useradd(8)``).
_SKELETON = "/etc/skel"
_SHELLS = ("/bin/bash", "/bin/sh", "/usr/sbin/nologin", "/sbin/nologin", "/bin/false")


def apply(root: Path, capture: Mapping[str, Any], *, renderer: str, runner: Runner) -> list[str]:
    """Write the whole capture into ``root``; returns what was changed, as paths of that root.

    ``renderer`` is ``networkd`` or ``ifupdown``. Needs uid 0. ``visudo`` of the new root is run by
    ``chroot`` where it is there.
    """
    writer = Writer(root)
    configure_system.apply(writer, capture)
    configure_network.apply(writer, capture["network"], renderer)
    users = _accounts(writer, capture["accounts"])
    _authorized_keys(writer, capture["accounts"], users)
    _sudoers(writer, capture["accounts"], runner)
    _secure_shell(writer, capture["ssh"])
    extra_paths.apply(writer, capture.get("extra_paths", ()))
    return writer.written


def _accounts(writer: Writer, accounts: Mapping[str, Any]) -> dict[str, User]:
    root = writer.root
    known = [*accounts.get("users", ())]
    candidates = {*_SHELLS, *(user["shell"] for user in known if user["shell"])}
    shells = [shell for shell in sorted(candidates) if exists(root, shell)]
    merged = accounts_merge.merge(
        accounts,
        read_text(root, "/etc/passwd"),
        read_text(root, "/etc/shadow"),
        read_text(root, "/etc/group"),
        read_text(root, "/etc/gshadow"),
        "\n".join(shells),
    )
    # shadow(5) belongs to the group that the new system gave it; Debian's is shadow, RHEL's root.
    secret = _secret_group(root)
    secret_mode = 0o640 if secret else 0o600
    writer.file("/etc/group", merged.group)
    writer.file("/etc/passwd", merged.passwd)
    writer.file("/etc/shadow", merged.shadow, mode=secret_mode, gid=secret)
    if merged.gshadow:
        writer.file("/etc/gshadow", merged.gshadow, mode=secret_mode, gid=secret)
    for home, old, new in merged.moved:
        _change_owner(inside(root, home), old, new)
    modes = {user["name"]: user.get("home_mode") for user in known}
    for user in merged.users:
        _home(writer, user, modes.get(user.name))
    return {user.name: user for user in merged.users}


def _secret_group(root: Path) -> int:
    for line in read_text(root, "/etc/group").splitlines():
        fields = line.split(":")
        if fields[0] == "shadow" and len(fields) > 2 and fields[2].isdigit():
            return int(fields[2])
    return 0


def _change_owner(folder: Path, old: int, new: int) -> None:
    """Give everything below ``folder`` that belongs to ``old`` to ``new``."""
    if not folder.is_dir() or folder == Path("/"):
        return
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        if status.st_uid == old:
            # Groups of the payload that moved have the same number as their user nearly always.
            os.chown(path, new, new if status.st_gid == old else status.st_gid, follow_symlinks=False)


def _home(writer: Writer, user: User, mode: int | None) -> None:
    """Make the home folder of an ordinary user from the skeleton; what is there stays."""
    target = inside(writer.root, user.home)
    if not user.home.startswith("/") or user.home == "/" or user.uid == 0 or mode is None:
        return
    if target.is_dir():
        return
    writer.folder(user.home, mode=mode, uid=user.uid, gid=user.gid)
    skeleton = inside(writer.root, _SKELETON)
    for path in sorted(skeleton.rglob("*")) if skeleton.is_dir() else ():
        place = target / path.relative_to(skeleton)
        if path.is_symlink():
            place.symlink_to(path.readlink())
        elif path.is_dir():
            place.mkdir(mode=0o755)
        else:
            shutil.copyfile(path, place)
            place.chmod(0o644)
        os.chown(place, user.uid, user.gid, follow_symlinks=False)


def _authorized_keys(writer: Writer, accounts: Mapping[str, Any], users: Mapping[str, User]) -> None:
    known = {entry["name"]: entry for entry in accounts.get("users", ())}
    for entry in accounts.get("authorized_keys", ()):
        user, before = users.get(entry.get("user", "")), known.get(entry.get("user", ""))
        uid, gid = entry["uid"], entry["gid"]
        if user is not None and before is not None:
            # Ids that the account had before stand for those that it has now.
            uid = user.uid if uid == before["uid"] else uid
            gid = user.gid if gid == before["gid"] else gid
        folder = entry["path"].rpartition("/")[0]
        if user is not None and folder.startswith(f"{user.home.rstrip('/')}/"):
            writer.folder(folder, mode=0o700, uid=user.uid, gid=user.gid, keep=True)
        content = base64.b64decode(entry["content_b64"])
        # sshd refuses files that others may write (StrictModes).
        writer.file(entry["path"], content, mode=entry["mode"] & ~0o022, uid=uid, gid=gid)


def _sudoers(writer: Writer, accounts: Mapping[str, Any], runner: Runner) -> None:
    """Write each file under a name that sudo passes over, check it, and only then put it in place.

    A broken file would disable sudo altogether, so one that ``visudo`` refuses stays aside, as
    ``<name>.dualroot-refused``.
    """
    for entry in accounts.get("sudoers", ()):
        path, content = entry["path"], base64.b64decode(entry["content_b64"])
        target = inside(writer.root, path)
        if target.is_file() and target.read_bytes() == content:
            writer.file(path, content, mode=0o440)
            continue
        aside = f"{path}.dualroot-refused"
        writer.folder("/etc/sudoers.d", mode=0o750, keep=True)
        refused = inside(writer.root, aside)
        if refused.is_file() and refused.read_bytes() == content:
            continue
        written = Writer(writer.root)
        written.file(aside, content, mode=0o440)
        if _is_valid_sudoers(writer.root, aside, runner):
            written.remove(aside)
            writer.file(path, content, mode=0o440)
        else:
            writer.written.append(aside)


def _is_valid_sudoers(root: Path, path: str, runner: Runner) -> bool:
    visudo = next((name for name in ("/usr/sbin/visudo", "/sbin/visudo") if exists(root, name)), None)
    if visudo is None:
        return True
    argv = [visudo, "-c", "-q", "-f", path]
    try:
        result = runner.run(argv if root == Path("/") else ["chroot", str(root), *argv], accept=range(256))
    except Fault:
        return True  # no chroot(8) here: nothing can be said against the file
    # 126 and 127 are chroot's own: visudo did not run.
    return result.returncode in (0, 126, 127)


def _secure_shell(writer: Writer, ssh: Mapping[str, Any]) -> None:
    """Write host keys and policy; other host keys go, for they came with the payload's image."""
    root = writer.root
    captured = {entry["path"] for entry in ssh.get("host_keys", ())}
    for entry in ssh.get("host_keys", ()):
        writer.own_file(entry["path"], base64.b64decode(entry["content_b64"]), mode=entry["mode"])
    if captured:
        for name in names(root, "/etc/ssh"):
            path = f"/etc/ssh/{name}"
            if name.startswith("ssh_host_") and "_key" in name and path not in captured:
                writer.remove(path)
    if not exists(root, secure_shell.CONFIG):
        return
    text = secure_shell.settings_text(ssh, host_key_paths=secure_shell.private_keys(ssh))
    if secure_shell.includes_drop_ins(root):
        head = "# Written by dualroot.migrate: login policy and identity of the old system.\n"
        writer.folder(secure_shell.DROP_IN_FOLDER, keep=True)
        writer.file(secure_shell.DROP_IN, head + text, mode=0o600)
    else:
        content = secure_shell.with_block(read_text(root, secure_shell.CONFIG), text)
        writer.file(secure_shell.CONFIG, content, mode=0o600)
