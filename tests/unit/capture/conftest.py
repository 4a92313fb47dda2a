# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts of ``tests/fixtures/capture`` as trees of a test's own, and their commands."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.fake_runner import FakeRunner, failed

FIXTURES = Path(__file__).parents[2] / "fixtures" / "capture"
_COMMANDS = {
    "addr": ("-d", "addr", "show"),
    "route4": ("-4", "route", "show", "table", "main"),
    "route6": ("-6", "route", "show", "table", "main"),
}


class Host:
    """One fixture: ``root`` is a copy that may be changed, ``runner`` answers as the host did."""

    def __init__(self, name: str, folder: Path) -> None:
        self.root = folder / "root"
        source = FIXTURES / name
        shutil.copytree(source / "root", self.root)
        links = source / "links"
        for line in links.read_text().splitlines() if links.exists() else ():
            path, _arrow, target = line.partition(" -> ")
            (self.root / path).symlink_to(target)
        self.runner = FakeRunner(_answers(source / "commands"))


def _answers(folder: Path) -> dict:
    answers: dict = {}
    for name, words in _COMMANDS.items():
        with_json, as_text = folder / f"{name}.json", folder / f"{name}.txt"
        if with_json.exists():
            answers[("ip", "-j", *words)] = with_json.read_bytes()
        else:
            answers[("ip", "-j", *words)] = failed(255, 'Option "-j" is unknown, try "ip -help".\n')
            answers[("ip", *words)] = as_text.read_bytes()
    for path in folder.glob("ethtool-*.txt"):
        answers["ethtool", "-P", path.stem.partition("-")[2]] = path.read_bytes()
    return answers


@pytest.fixture
def host(tmp_path):
    """Return a function that makes the host of a fixture."""
    return lambda name: Host(name, tmp_path / name)


@pytest.fixture(autouse=True)
def any_owner(monkeypatch):
    """Let tests run as any user: changes of owner are kept in a list where they are not allowed."""
    if os.geteuid() != 0:
        monkeypatch.setattr(os, "chown", lambda *_arguments, **_options: None)
