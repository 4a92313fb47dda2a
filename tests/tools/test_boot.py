# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The boot area with real tools on plain files: shells, GRUB's own checkers, curl."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import (
    cpio,
    dispatcher,
    fetch,
    grub_bios,
    kernels,
    one_shot,
    records,
    slot_entry,
    slot_state,
    titles,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.dispatcher import Dispatcher, Slot
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.slot_state import SlotState
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from tests.support.guarded_server import HEADER, SECRETS, UNUSABLE, guarded

RUNNER = CommandRunner()
WANTED = Dispatcher((Slot("a", "VA", "root"), Slot("b", "VB", "root")), ("a", "b"), "run-1", ("console=ttyS0",))


def needs(program: str) -> pytest.MarkDecorator:
    found = shutil.which(program, path=CommandRunner.SEARCH_PATH)
    return pytest.mark.skipif(found is None, reason=f"needs {program}")


def make_slot(root: Path, *releases: str) -> None:
    (root / "boot").mkdir(parents=True, exist_ok=True)
    for release in releases:
        (root / f"boot/vmlinuz-{release}").write_text("k")
        (root / f"boot/initrd.img-{release}").write_text("i")


def run_script(root: Path) -> str:
    CommandRunner({"DUALROOT_ROOT": str(root)}).run([str(root / slot_entry.SCRIPT_PATH)])
    return (root / slot_entry.CONFIG).read_text()


def test_script_of_the_slot_writes_what_the_engine_writes(tmp_path: Path) -> None:
    make_slot(tmp_path, "6.1.0-9-amd64", "6.1.0-10-amd64", "0-rescue-1")
    slot_entry.write(tmp_path, "run-1", ["console=tty0", "console=ttyS0"])
    written = (tmp_path / slot_entry.CONFIG).read_text()
    assert "6.1.0-10-amd64" in written
    (tmp_path / slot_entry.CONFIG).unlink()
    assert run_script(tmp_path) == written
    assert not list(tmp_path.rglob("*.new"))


def test_script_of_the_slot_follows_updates(tmp_path: Path) -> None:
    make_slot(tmp_path, "6.1.0-9-amd64")
    slot_entry.write(tmp_path, "run-1", [])
    make_slot(tmp_path, "6.1.0-10-amd64")
    assert "6.1.0-10-amd64" in run_script(tmp_path)
    (tmp_path / "boot/initrd.img-6.1.0-10-amd64").unlink()
    assert "6.1.0-9-amd64" in run_script(tmp_path)
    (tmp_path / "etc/default/dualroot").write_text('DUALROOT_KERNEL_ARGUMENTS="quiet"\n')
    assert 'set dr_arguments="quiet"' in run_script(tmp_path)


def test_script_of_the_slot_keeps_the_entry_where_no_kernel_could_start(tmp_path: Path) -> None:
    make_slot(tmp_path, "6.1")
    slot_entry.write(tmp_path, "run-1", [])
    before = (tmp_path / slot_entry.CONFIG).read_text()
    (tmp_path / "boot/initrd.img-6.1").unlink()
    assert run_script(tmp_path) == before


def test_script_and_engine_sort_releases_alike(tmp_path: Path) -> None:
    releases = ["6.1~rc2", "6.1", "6.1.0-9-amd64", "6.1.0-10-amd64", "6.12.48+deb13-amd64", "6.2.0"]
    for release in releases:
        make_slot(tmp_path, release)
        slot_entry.write(tmp_path, "", [])
        assert f'vmlinuz-{kernels.release_of(kernels.find(tmp_path).kernel)}"' in run_script(tmp_path)


@pytest.mark.parametrize("text", [slot_entry.SCRIPT, slot_entry.HOOK, slot_entry.SHADOW])
def test_scripts_are_posix_shell(tmp_path: Path, text: str) -> None:
    path = tmp_path / "script"
    path.write_text(text)
    RUNNER.run(["sh", "-n", str(path)])
    if shutil.which("shellcheck"):
        RUNNER.run(["shellcheck", "--severity=warning", str(path)])


def test_script_of_a_slot_with_entries_follows_its_own_tools(tmp_path: Path) -> None:
    make_slot(tmp_path, "5.14.0-1.el9", "5.14.0-2.el9")
    (tmp_path / "etc/default").mkdir(parents=True)
    (tmp_path / "etc/default/grub").write_text("GRUB_ENABLE_BLSCFG=true\n")
    slot_entry.write(tmp_path, "run-1", ["console=tty0", "quiet"])
    written = (tmp_path / slot_entry.CONFIG).read_text()
    assert run_script(tmp_path) == written
    # As grubby --args and grubby --set-default leave it.
    entry = tmp_path / "boot/loader/entries/dualroot-5.14.0-1.el9.conf"
    text = entry.read_text()
    entry.write_text(text.replace("quiet", "quiet nosmt $tuned_params x=a;b panic=5 *"))
    assert run_script(tmp_path) == written
    (tmp_path / "boot/grub2").mkdir()
    environment = tmp_path / "boot/grub2/grubenv"
    environment.write_text("# GRUB Environment Block\nsaved_entry=dualroot-5.14.0-1.el9\n")
    assert run_script(tmp_path) == written.replace("-2.el9", "-1.el9").replace("quiet", "quiet nosmt")
    # A default that cannot be loaded is none.
    (tmp_path / "boot/initrd.img-5.14.0-1.el9").unlink()
    assert run_script(tmp_path) == written
    for path in (tmp_path / "boot/loader/entries").iterdir():
        path.unlink()
    assert run_script(tmp_path) == written


@needs("grub-script-check")
def test_grub_accepts_all_that_is_written_for_it(tmp_path: Path) -> None:
    entry = one_shot.Entry("run-1", Path("/vmlinuz"), (Path("/initrd.img"),), ("gpt",))
    paths = {Path("/vmlinuz"): "/vmlinuz", Path("/initrd.img"): "/initrd.img"}
    texts = [
        dispatcher.render_dispatcher(WANTED),
        dispatcher.early_config({"kernel_arguments": ["console=ttyS0"]}),
        slot_entry.render(kernels.Kernel("/boot/vmlinuz-6.1", "/boot/initrd.img-6.1"), "run-1", ["quiet"]),
        one_shot.with_block("", one_shot.render(entry, "ext4", "1234-abcd", paths)),
    ]
    for number, text in enumerate(texts):
        path = tmp_path / str(number)
        path.write_text(text)
        RUNNER.run(["grub-script-check", str(path)])


@needs("grub-editenv")
def test_grub_and_linux_read_each_others_state(tmp_path: Path) -> None:
    written = slot_state.write(tmp_path, SlotState(("b", "a"), {"a": "good", "b": "trying"}, 3, "r"))
    listed = RUNNER.run(["grub-editenv", str(tmp_path / "state"), "list"]).text
    assert listed == ("dr_version=1\ndr_generation=1\ndr_order=b a\ndr_a=good\ndr_b=trying\ndr_tries=3\ndr_next=r\n")
    RUNNER.run(["grub-editenv", str(tmp_path / "state"), "set", "dr_tries=2", "dr_next="])
    found = slot_state.read(tmp_path).state
    assert (found.tries, found.next, found.slots) == (2, "", written.slots)


@needs("grub-editenv")
def test_grub_reads_the_titles(tmp_path: Path) -> None:
    title = "Debian GNU/Linux 13 (trixie)"
    record = records.SlotRecord("a", "bundle", "gateway-13", "1.2~rc1", "va", "run", records.now(), title=title)
    records.write_slot(tmp_path, record)
    titles.write(tmp_path)
    listed = RUNNER.run(["grub-editenv", str(tmp_path / "titles"), "list"]).text
    assert listed == f"dr_title_a=gateway-13 1.2~rc1, {title}\n"


@needs("grub-mkimage")
@pytest.mark.skipif(not grub_bios.GRUB_DIRECTORY.is_dir(), reason="needs grub-pc-bin")
def test_core_image_fits_with_room_to_spare() -> None:
    early = dispatcher.early_config({"kernel_arguments": ["console=ttyS0"]})
    core = grub_bios.build_core(RUNNER, grub_bios.GRUB_DIRECTORY, "(,gpt2)/grub", early)
    # 1 MiB is the smallest BIOS boot partition that a layout may have.
    assert 50_000 < len(core) < 700_000


@needs("cpio")
def test_cpio_unpacks(tmp_path: Path) -> None:
    archive = cpio.pack({"etc/dualroot/plan.json": b"{}", "etc/dualroot/capture.json": b"secret"})
    RUNNER.run(["cpio", "--extract", "--quiet", "--directory", str(tmp_path)], stdin=archive)
    assert (tmp_path / "etc/dualroot/capture.json").read_bytes() == b"secret"
    assert (tmp_path / "etc/dualroot/capture.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "etc/dualroot").stat().st_mode & 0o777 == 0o700


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files; without byte ranges, as the module's base does."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["curl", "python"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What downloads: curl, or Python alone, as on a host without it."""
    if request.param == "python":
        monkeypatch.setattr(CommandRunner, "SEARCH_PATH", "/none")
    elif shutil.which("curl") is None:
        pytest.skip("needs curl")


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("partial", [b"", b"pay"])
def test_download(served: tuple[Path, str], tmp_path: Path, partial: bytes) -> None:
    folder, address = served
    content = os.urandom(3 << 20)
    (folder / "x y").mkdir()
    (folder / "x y/payload").write_bytes(content)
    artefact = fetch.Artefact("x y/payload", tmp_path / "payload", hashlib.sha256(content).hexdigest(), len(content))
    if partial:
        (tmp_path / "payload.part").write_bytes(partial)
    fetch.fetch(CommandRunner(), artefact, address)
    assert (tmp_path / "payload").read_bytes() == content
    missing = fetch.Artefact("none", tmp_path / "none", "0", 5)
    with pytest.raises(Fault) as caught:
        fetch.fetch(CommandRunner(), missing, address)
    assert caught.value.id == "boot.source_missing" and "404" in caught.value.record()["why"]


@pytest.mark.usefixtures("program")
def test_a_login_goes_to_the_server_of_the_address_alone(tmp_path: Path) -> None:
    content = os.urandom(1 << 20)
    served = tmp_path / "served"
    served.mkdir()
    (served / "payload").write_bytes(content)
    artefact = fetch.Artefact("payload", tmp_path / "payload", hashlib.sha256(content).hexdigest(), len(content))
    with guarded(served) as server:
        server.away.add("payload")
        fetch.fetch(CommandRunner(), artefact, server.address)
        assert (server.headers, server.elsewhere.headers) == ({HEADER}, {None})
        assert (tmp_path / "payload").read_bytes() == content
        for wrong in (server.address.replace("p%40ss", "hunter2"), *UNUSABLE):
            with pytest.raises(Fault) as caught:
                fetch.fetch(CommandRunner(), artefact, wrong)
            assert caught.value.id == "boot.source_missing"
            assert not [one for one in SECRETS if one in f"{caught.value} {caught.value.record()}"]


def test_shadowed_program_does_nothing_and_does_not_fail(tmp_path: Path) -> None:
    make_slot(tmp_path, "6.1")
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/grub-install").write_text("")
    slot_entry.write(tmp_path, "run-1", [])
    done = subprocess.run([tmp_path / "usr/local/sbin/grub-install", "/dev/sda"], capture_output=True, check=True)
    assert b"not run" in done.stderr
