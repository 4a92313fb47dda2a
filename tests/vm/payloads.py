# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Payloads of the tests, changed by their distribution's own package manager, and kept in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.lab.cache import cache_folder, locked

#: An initramfs of the other kind; generic, as a payload's has to be.
DRACUT = """\
printf 'hostonly="no"\\nadd_dracutmodules+=" lvm "\\n' > /etc/dracut.conf.d/lab.conf
apt-get install -y -q --no-install-recommends dracut
"""
#: The newest kernel but one, so that the distribution has an upgrade of it.
OLDER_KERNEL = """\
versions=$(apt-cache madison linux-image-cloud-amd64 | awk '{ print $3 }' | sort -Vu)
older=$(echo "$versions" | tail -n 2 | head -n 1)
[ "$older" != "$(echo "$versions" | tail -n 1)" ]
apt-get install -y -q --no-install-recommends --allow-downgrades "linux-image-cloud-amd64=$older"
for one in /boot/vmlinuz-*; do
    case "$one" in *"-${older%-*}+"*) ;; *) apt-get purge -y -q "linux-image-${one#/boot/vmlinuz-}" ;; esac
done
ls /boot
"""
_HEAD = """\
set -eu
export DEBIAN_FRONTEND=noninteractive
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /etc/dracut.conf.d
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
if [ -n "$MIRROR" ]; then
    for one in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        [ ! -f "$one" ] || sed -i.lab "s|http://deb.debian.org|$MIRROR|" "$one"
    done
fi
apt-get update -q
"""
_TAIL = """\
for one in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    [ ! -f "$one.lab" ] || mv "$one.lab" "$one"
done
rm /usr/sbin/policy-rc.d
apt-get clean
rm -rf /var/lib/apt/lists/*
"""


def changed(payload: Path, name: str, script: str) -> Path:
    """Return an archive: ``payload`` after ``script`` was run in it, with the network and its own packages."""
    digest = hashlib.sha256((script + _HEAD + str(payload.stat().st_size)).encode() + _head_of(payload)).hexdigest()
    cache = cache_folder()
    archive = cache / f"payload-{name}-{digest[:16]}.tar.zst"
    with locked(cache / f"payload-{name}.lock"):
        if not archive.exists():
            root = cache / f"payload-{name}.building"
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            try:
                _change(payload, root, script, archive)
            finally:
                shutil.rmtree(root)
    return archive


def _head_of(payload: Path) -> bytes:
    with payload.open("rb") as file:
        return file.read(1 << 20)


def _change(payload: Path, root: Path, script: str, archive: Path) -> None:
    kept = ["--numeric-owner", "--xattrs", "--xattrs-include=*", f"--directory={root}"]
    subprocess.run(["tar", "--extract", "--zstd", f"--file={payload}", *kept], check=True)
    resolver = (root / "etc/resolv.conf").read_bytes() if (root / "etc/resolv.conf").exists() else b""
    (root / "etc/resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())
    # Mounts of its own, so that nothing of it stays whatever happens.
    argv = ["unshare", "--mount", "--propagation", "private", "chroot", str(root), "/bin/sh", "-c"]
    environment = {**os.environ, "MIRROR": os.environ.get("DUALROOT_MIRROR", "")}
    argv.append(_HEAD + script + _TAIL)
    done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the payload was not changed:\n{(done.stdout + done.stderr)[-3000:].decode()}")
    (root / "etc/resolv.conf").write_bytes(resolver)
    part = archive.with_suffix(".part")
    subprocess.run(["tar", "--create", "--use-compress-program=zstd -1 -T0", f"--file={part}", *kept, "."], check=True)
    part.rename(archive)
