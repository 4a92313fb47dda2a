# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that lays an overlay over a root, by real mounts in a name space of its own.

The slot's root is a read-only bind of this machine's, with folders of the test over it; the data are a loop
device. What an initramfs adds (its shell, its LVM, the change of the root) is tested in ``tests/vm``.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import _root_script, slot_entry

needs_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
pytestmark = needs_mounts

#: Makes the slot's root below $T/new, runs the program and then the rest of the script.
STAGE = """\
set -e
cd $T
mount -t tmpfs stage $T/stage
mkdir -p stage/root stage/tools-upper stage/tools-work
for one in bin sbin lib lib64 usr; do mount_point=/$one; [ -d $mount_point ] || continue
  if [ -L /$one ]; then cp -d /$one stage/root/; else mkdir stage/root/$one; mount --bind /$one stage/root/$one; fi
done
mkdir -p stage/root/run stage/root/etc stage/root/var/log stage/root/var/lib/dpkg stage/root/boot
echo of-the-slot > stage/root/etc/name; echo 1 > stage/root/var/lib/dpkg/status; echo log > stage/root/var/log/log
chown 12:34 stage/root/var/log; chmod 2750 stage/root/var/log
# As a slot's root is: one file system, read only.
mount --rbind stage/root new
mount -o remount,ro,bind new
mkdir -p place
run() { sh $T/program $T/new; }
"""


def run(folder: Path, settings: dict[str, str], script: str, *, cmdline: str = "root=/dev/x ro") -> str:
    """Run the program and ``script`` behind it in mounts of their own; return what they printed."""
    for name in ("new", "place", "stage", "proc"):
        (folder / name).mkdir(exist_ok=True)
    defaults = {"SLOT": "a", "RUN_ID": "run-1", "MODE": "overlay-tmpfs", "MEMORY": "50%", "PERSIST": ""}
    values = {**defaults, "DATA_VOLUME": "", "DATA_DEVICE": "", "DATA_KIND": "ext4", "DATA_OPTIONS": "defaults"}
    values.update(settings)
    (folder / "settings").write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))
    (folder / "program").write_text(_root_script.PROGRAM)
    (folder / "proc/cmdline").write_text(cmdline + "\n")
    (folder / "proc/filesystems").write_text("nodev\toverlay\n")
    (folder / "proc/sysrq-trigger").write_text("")
    (folder / "script").write_text(STAGE + script)
    environment = {
        "PATH": os.environ["PATH"],
        "T": str(folder),
        "DUALROOT_SETTINGS": str(folder / "settings"),
        "DUALROOT_PLACE": str(folder / "place"),
        "DUALROOT_PROC": str(folder / "proc"),
    }
    argv = ["unshare", "--mount", "--propagation", "private", "sh", str(folder / "script")]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A file system for the data, in a file; mount finds a loop device for it."""
    image = tmp_path / "data.img"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", str(image)], check=True)
    return image


def settings_of(data: Path, **values: str) -> dict[str, str]:
    return {"DATA_DEVICE": str(data), "DATA_OPTIONS": "loop", **values}


def test_in_memory_all_is_writable_and_the_root_is_as_it_was(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        {},
        "run; echo new > new/etc/name; rm new/var/log/log; cat new/etc/name place/lower/etc/name place/state\n"
        "ls place/lower/var/log; stat -c %a new; mountpoint -q new/run || echo run-is-free\n",
    )
    assert said.split("\n") == [
        "new",
        "of-the-slot",
        "MODE=overlay-tmpfs",
        "PROBLEM=''",
        "log",
        "755",
        "run-is-free",
        "",
    ]


def test_where_mounts_are_shared_nothing_is_laid_over_the_slots_own_root(tmp_path: Path, data: Path) -> None:
    said = run(
        tmp_path,
        settings_of(data, PERSIST="/etc"),
        "mount --make-rshared new; run; echo new | tee new/etc/name > new/new; cat place/lower/etc/name\n"
        "[ -e place/lower/new ] || echo as-it-was; cat place/state\n",
    )
    assert said == "of-the-slot\nas-it-was\nMODE=overlay-tmpfs\nPROBLEM=''\n"


def test_on_the_data_volume_it_is_there_at_the_next_start(tmp_path: Path, data: Path) -> None:
    settings = settings_of(data, MODE="overlay-data")
    run(tmp_path, settings, "run; echo new > new/etc/name; rm new/var/log/log; ls -ld place/data/.dualroot\n")
    said = run(tmp_path, settings, "run; cat new/etc/name place/lower/etc/name; ls new/var/log; cat place/state\n")
    assert said == "new\nof-the-slot\nMODE=overlay-data\nPROBLEM=''\n"


def test_a_new_system_in_the_slot_sees_nothing_of_the_one_before(tmp_path: Path, data: Path) -> None:
    settings = settings_of(data, MODE="overlay-data")
    run(tmp_path, settings, "run; echo new > new/etc/name\n")
    run(tmp_path, {**settings, "SLOT": "b"}, "run; echo other > new/etc/name\n")
    said = run(
        tmp_path,
        {**settings, "RUN_ID": "run-2"},
        "run; cat new/etc/name; cd place/data/.dualroot/root; ls -d *; ls a\n",
    )
    assert said == "of-the-slot\na\nb\nrun-2\n"


def test_folders_that_persist_keep_their_looks_and_packages_stay_with_the_root(tmp_path: Path, data: Path) -> None:
    settings = settings_of(data, PERSIST="/etc /var")
    write = (
        "echo new > new/etc/name; echo more >> new/var/log/log; echo 2 > new/var/lib/dpkg/status; echo x > new/new\n"
    )
    run(tmp_path, settings, f"run; {write}")
    said = run(
        tmp_path,
        settings,
        "run; cat new/etc/name new/var/log/log new/var/lib/dpkg/status; ls new/new 2>&1 | grep -c 'No such'\n"
        "stat -c '%u:%g %a' new/var/log; cat place/lower/var/log/log; cat place/state\n",
    )
    assert said == "new\nlog\nmore\n1\n1\n12:34 2750\nlog\nMODE=overlay-tmpfs\nPROBLEM=''\n"


@pytest.mark.parametrize("mode", ["overlay-data", "overlay-tmpfs"])
def test_without_its_data_a_good_slot_starts_in_memory(tmp_path: Path, mode: str) -> None:
    (tmp_path / "broken").write_bytes(bytes(1 << 20))
    settings = {"MODE": mode, "PERSIST": "/etc", **settings_of(tmp_path / "broken")}
    said = run(tmp_path, settings, "run; echo new > new/etc/name; cat new/etc/name place/state; ls place/upper\n")
    problem = f"{tmp_path}/broken has errors that a person must look at"
    assert said == f"new\nMODE={mode}\nPROBLEM='{problem}'\nroot\n"


def test_without_its_data_a_slot_on_trial_restarts(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(bytes(1 << 20))
    settings = {"MODE": "overlay-data", **settings_of(tmp_path / "broken")}
    said = run(tmp_path, settings, "run; cat proc/sysrq-trigger\n", cmdline="ro dualroot.trial dualroot.slot=a")
    assert said == "b\n"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, data: Path) -> None:
    said = run(tmp_path, settings_of(data, PERSIST="/etc /nowhere"), "run; cat place/state\n")
    assert said == "MODE=overlay-tmpfs\nPROBLEM='/nowhere is no folder of the slot'\n"


@pytest.mark.parametrize("cmdline", ["ro", "ro dualroot.root=rw dualroot.trial"])
def test_without_an_overlay_the_root_is_written_to(tmp_path: Path, cmdline: str) -> None:
    # A kernel without overlays is pretended; of modules this machine's are tried, and found loaded.
    lay = "" if "root=rw" in cmdline else "modprobe() { :; }; : > proc/filesystems; PATH=$T/bin:$PATH; "
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/modprobe").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/modprobe").chmod(0o755)
    said = run(tmp_path, {}, f"{lay}run || echo none; cat place/state; cat proc/sysrq-trigger\n", cmdline=cmdline)
    problem = "the kernel has no overlays" if lay else "an overlay is not wanted: dualroot.root=rw"
    assert said == f"none\nMODE=\nPROBLEM='{problem}'\n"


class Slot:
    """A running slot below an overlay on the data, in plain folders: ``lower`` and what the system shows."""

    def __init__(self, folder: Path) -> None:
        self.lower, self.system, self.bin = folder / "place/lower", folder / "system", folder / "bin"
        for root in (self.lower, self.system):
            (root / "boot/dualroot").mkdir(parents=True)
            self.kernel(root, "6.1")
        (folder / "place/state").write_text("MODE=overlay-data\nPROBLEM=''\n")
        script = self.system / slot_entry.SCRIPT_PATH
        script.parent.mkdir(parents=True)
        script.write_text(slot_entry.SCRIPT)
        script.chmod(0o755)
        self.bin.mkdir()
        for name, text in (("mount", 'echo "$*" >> $DUALROOT_PLACE/mounts'), ("uname", "echo 6.1")):
            (self.bin / name).write_text(f"#!/bin/sh\n{text}\n")
            (self.bin / name).chmod(0o755)
        self.environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "DUALROOT_PLACE": str(folder / "place"),
            "DUALROOT_SYSTEM": str(self.system),
        }
        (folder / "command").write_text(_root_script.COMMAND)
        self.command = folder / "command"

    def kernel(self, root: Path, release: str) -> None:
        (root / f"boot/vmlinuz-{release}").write_text(f"kernel {release}")
        (root / f"boot/initrd.img-{release}").write_text(f"initrd {release}")
        modules = root / "usr/lib/modules" / release
        modules.mkdir(parents=True, exist_ok=True)
        (modules / "modules.dep").write_text(release)

    def remove(self, root: Path, release: str) -> None:
        (root / f"boot/vmlinuz-{release}").unlink()
        (root / f"boot/initrd.img-{release}").unlink()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = ["sh", str(self.command), *arguments]
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=60, check=False)

    def chosen(self) -> str:
        return (self.lower / slot_entry.CONFIG).read_text().split('"')[1]


def test_a_new_kernel_reaches_the_root_that_the_dispatcher_reads(tmp_path: Path) -> None:
    slot = Slot(tmp_path)
    slot.kernel(slot.system, "6.2")
    assert slot.run("kernels").returncode == 0
    assert slot.chosen() == "/boot/vmlinuz-6.2"
    for name in ("boot/vmlinuz-6.2", "boot/initrd.img-6.2", "usr/lib/modules/6.2/modules.dep"):
        assert (slot.lower / name).read_text() == (slot.system / name).read_text()
    mounts = (tmp_path / "place/mounts").read_text().splitlines()
    assert mounts == [f"-o remount,rw {slot.lower}", f"-o remount,ro {slot.lower}"]


def test_a_removed_kernel_goes_but_never_the_one_that_runs(tmp_path: Path) -> None:
    slot = Slot(tmp_path)
    for release in ("6.2", "6.3"):
        slot.kernel(slot.system, release)
    assert slot.run("kernels").returncode == 0
    for release in ("6.1", "6.3"):
        slot.remove(slot.system, release)
    assert slot.run("kernels").returncode == 0
    assert slot.chosen() == "/boot/vmlinuz-6.2"
    assert sorted(path.name for path in (slot.lower / "boot").glob("vmlinuz-*")) == ["vmlinuz-6.1", "vmlinuz-6.2"]
    assert not (slot.lower / "usr/lib/modules/6.3").exists()


def test_a_new_initramfs_of_the_same_kernel_is_copied(tmp_path: Path) -> None:
    slot = Slot(tmp_path)
    (slot.system / "boot/initrd.img-6.1").write_text("made anew")
    assert slot.run("kernels").returncode == 0
    assert (slot.lower / "boot/initrd.img-6.1").read_text() == "made anew"


def test_in_memory_a_kernel_is_told_to_be_gone(tmp_path: Path) -> None:
    slot = Slot(tmp_path)
    (tmp_path / "place/state").write_text("MODE=overlay-tmpfs\nPROBLEM=''\n")
    done = slot.run("kernels")
    assert done.returncode == 0
    assert "gone at the next start" in done.stderr
    assert not (tmp_path / "place/mounts").exists()
    assert slot.run("status").stdout.startswith("mode: overlay-tmpfs\n")


@pytest.mark.parametrize("text", [_root_script.PROGRAM, _root_script.COMMAND], ids=["program", "command"])
def test_no_shell_trap(tmp_path: Path, text: str) -> None:
    (tmp_path / "script").write_text(text)
    # SC1090, SC1091, SC2154: the settings are made on the host; SC2016: another shell expands it.
    argv = ["shellcheck", "--shell=dash", "--exclude=SC1090,SC1091,SC2154,SC2016", str(tmp_path / "script")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
