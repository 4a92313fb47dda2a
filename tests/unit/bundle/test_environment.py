# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import building, environment, packing
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from tests.support.fake_runner import FakeRunner


def recipe(tmp_path: Path, **changes: Any) -> environment.Recipe:
    for name in ("overlay", "interpreter"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "file").write_text(name)
    fields: dict[str, Any] = {
        "suite": "trixie",
        "mirrors": ["deb http://m/debian trixie main"],
        "packages": ["kmod", "udev"],
        "kernel_package": "linux-image-amd64",
        "firmware_packages": [],
        "programs": ["kmod"],
        "files": [],
        "without": [],
        "libraries": [],
        "links": {"etc/mtab": "../proc/self/mounts"},
        "modules": ["kernel/fs/*"],
        "modules_without": [],
        "epoch": 1000,
        "level": 19,
        "overlay": tmp_path / "overlay",
        "interpreter": tmp_path / "interpreter",
    }
    return environment.Recipe(**{**fields, **changes})


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """A cache that holds the base of the recipe."""
    cache = tmp_path / "cache"
    folder = cache / f"environment-{recipe(tmp_path).digest()[:32]}"
    folder.mkdir(parents=True)
    for name in ("vmlinuz", "base.cpio.zst", "modaliases.json", "interpreter.tar.gz"):
        (folder / name).write_text(name)
    (folder / "facts.json").write_text(json.dumps({"kernel_release": "6.12", "unpacked_bytes": 100}))
    return cache


def zstd(argv: Any, _stdin: Any) -> None:
    Path(argv[-1]).write_bytes(b"packed!")


def build(tmp_path: Path, cache: Path, limit: int = 1 << 20) -> dict[str, Any]:
    engine = tmp_path / "engine"
    (engine / "faults").mkdir(parents=True, exist_ok=True)
    for name in ("__init__.py", "phases.py", "ansible_module.py", "faults/fault.py", "notes.txt"):
        (engine / name).write_text("")
    (tmp_path / "init").write_text("#!/bin/sh\n")
    return building.make_environment(
        FakeRunner(handler=zstd),
        recipe(tmp_path),
        cache=cache,
        engine=engine,
        init=tmp_path / "init",
        limit=limit,
        target=tmp_path / "environment",
        refresh=False,
    )


def test_the_digest_of_a_recipe_knows_every_input(tmp_path: Path) -> None:
    first = recipe(tmp_path).digest()
    assert recipe(tmp_path).digest() == first
    assert recipe(tmp_path, kernel_package="linux-image-cloud-amd64").digest() != first
    assert recipe(tmp_path, epoch=1001).digest() != first
    (tmp_path / "overlay/more").write_text("x")
    assert recipe(tmp_path).digest() != first


def test_a_cached_base_needs_no_packages_and_gets_the_engine_behind_it(tmp_path: Path, cached: Path) -> None:
    result = build(tmp_path, cached)
    assert result["cached"] is True
    assert result["changed"] is True
    assert result["kernel_release"] == "6.12"
    assert result["unpacked_bytes"] == 100 + 4096  # init; the other files of this engine are empty
    initrd = (tmp_path / "environment/initrd.img").read_bytes()
    assert initrd == b"base.cpio.zst\0\0\0" + b"packed!\0"
    assert build(tmp_path, cached)["changed"] is False


def test_what_ansible_alone_needs_stays_out_of_stage_two(tmp_path: Path, cached: Path) -> None:
    build(tmp_path, cached)
    packed, _files = environment.pack_program(
        FakeRunner(handler=zstd), tmp_path / "engine", tmp_path / "init", 1000, tmp_path
    )
    root = packed.parent / "program"
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) == [
        "init",
        "usr/lib/dualroot/dualroot/__init__.py",
        "usr/lib/dualroot/dualroot/faults/fault.py",
        "usr/lib/dualroot/dualroot/phases.py",
    ]
    assert (root / "init").stat().st_mode & 0o777 == 0o755


def test_an_initrd_above_the_limit_is_refused(tmp_path: Path, cached: Path) -> None:
    with pytest.raises(Fault) as caught:
        build(tmp_path, cached, limit=10)
    assert caught.value.id == "bundle.initrd_too_large"
    assert not (tmp_path / "environment/initrd.img").exists()


def test_packages_are_unpacked_by_one_command(tmp_path: Path) -> None:
    runner = FakeRunner(handler=lambda argv, stdin: None)
    environment.extract(runner, recipe(tmp_path, firmware_packages=["firmware-bnx2"]), tmp_path / "full")
    (argv,) = runner.calls
    assert argv[:5] == (
        "mmdebstrap",
        "--mode=root",
        "--variant=extract",
        "--format=directory",
        "--include=kmod,udev,linux-image-amd64,firmware-bnx2",
    )
    assert argv[-3:] == ("trixie", str(tmp_path / "full"), "deb http://m/debian trixie main")


def test_the_record_of_packages_has_their_versions(tmp_path: Path) -> None:
    (tmp_path / "packages").write_text(
        "partial\nudev_257.1-1_amd64.deb\nlibgcc-s1_14.2.0-19_amd64.deb\nlock\na_1%3a2_all.deb\n"
    )
    assert environment.installed(tmp_path) == ["a=1:2", "libgcc-s1=14.2.0-19", "udev=257.1-1"]


def test_python_is_compiled_with_a_fixed_hash_seed_and_its_sources_go(tmp_path: Path) -> None:
    home = tmp_path / "usr/lib/python3.13"
    (home / "json/__pycache__").mkdir(parents=True)
    (home / "json/__init__.py").write_text("")
    (home / "unbuilt.py").write_text("")

    def compileall(argv: Any, _stdin: Any) -> None:
        assert tuple(argv) == (
            *("chroot", str(tmp_path), "/usr/bin/env", "PYTHONHASHSEED=0", "/usr/bin/python3"),
            *("-m", "compileall", "-b", "-q", "--invalidation-mode", "unchecked-hash", "/usr/lib/python3.13"),
        )
        (home / "json/__init__.pyc").write_text("")

    environment.compile_python(FakeRunner(handler=compileall), tmp_path)
    left = sorted(str(path.relative_to(home)) for path in home.rglob("*"))
    assert left == ["json", "json/__init__.pyc", "unbuilt.py"]


def test_a_file_is_put_in_place_whole(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "target").write_text("old")
    os.link(tmp_path / "target", tmp_path / "reader")
    environment.place(tmp_path / "new", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "new"
    assert (tmp_path / "reader").read_text() == "old"


def test_compressors(tmp_path: Path) -> None:
    assert packing.compressor("zstd", 12) == ["zstd", "-q", "-T2", "-12"]
    assert packing.compressor("zstd", 22) == ["zstd", "-q", "-T2", "--ultra", "-22"]
    assert packing.compressor("gzip", 12) == ["gzip", "-n", "-9"]
    assert packing.compressor("none", 1) == []


def test_a_root_archive_keeps_owners_and_attributes(tmp_path: Path) -> None:
    runner = FakeRunner(handler=lambda argv, stdin: None)
    packing.pack_tar(runner, tmp_path / "root", tmp_path / "out", ["zstd", "-q"], 7, own=False)
    assert runner.calls == [
        (
            "tar",
            *packing.TAR_OPTIONS,
            "--mtime=@7",
            "--clamp-mtime",
            "--use-compress-program=zstd -q",
            f"--file={tmp_path}/out",
            f"--directory={tmp_path}/root",
            ".",
        )
    ]
