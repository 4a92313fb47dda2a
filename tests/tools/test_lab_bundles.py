# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The payload of a later bundle of the tests, laid over with real tools."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.lab import bundles


def test_files_laid_over_come_last_and_are_the_same_each_time(tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "bundle/payload"
    (root / "etc").mkdir(parents=True)
    folder.mkdir(parents=True)
    (root / "etc/lab-version").write_text("1\n")
    payload = folder / "rootfs.tar.zst"
    subprocess.run(["tar", "--create", "--zstd", f"--file={payload}", f"--directory={root}", "."], check=True)
    base = bundles.Bundle(folder.parent, tmp_path / "pem", tmp_path / "key")
    files = {"etc/lab-version": "2\n", "usr/bin/check!": "#!/bin/sh\n", "etc/link": "-> target"}
    archive = tmp_path / "later.tar"
    bundles._lay_over(archive, base, files)
    first = archive.read_bytes()
    bundles._lay_over(archive, base, files)
    assert archive.read_bytes() == first
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "--extract", f"--file={archive}", f"--directory={tmp_path / 'out'}"], check=True)
    assert (tmp_path / "out/etc/lab-version").read_text() == "2\n"
    assert (tmp_path / "out/etc/link").readlink() == Path("target")
    assert (tmp_path / "out/usr/bin/check").stat().st_mode & 0o777 == 0o755
