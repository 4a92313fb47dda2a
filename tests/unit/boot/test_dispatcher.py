# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dispatcher's text: whole, as golden data, and what may not get into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import dispatcher
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.dispatcher import Dispatcher, Slot
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

GOLDEN = Path(__file__).parent / "golden"
WANTED = Dispatcher(
    slots=(Slot("a", "VA", "root"), Slot("b", "VB", "root")),
    order=("a", "b"),
    run_id="20260102T030405Z-abcdef",
    arguments=("console=tty0", "console=ttyS0,115200n8"),
)


def test_whole_text() -> None:
    assert dispatcher.render_dispatcher(WANTED) == (GOLDEN / "grub.cfg").read_text()


def test_early_text() -> None:
    assert dispatcher.early_config({"kernel_arguments": ["quiet"]}) == (
        "configfile $prefix/grub.cfg\n"
        'echo "dualroot: the dispatcher cannot be read; next try in 20 s"\n'
        "sleep 20\n"
        "reboot\n"
    )


def test_volume_names_are_escaped_as_grub_does() -> None:
    slot = Slot("a", "my-group", "root-a")
    assert (slot.grub_device, slot.node) == ("lvm/my--group-root--a", "/dev/my-group/root-a")


@pytest.mark.parametrize(
    ("argument", "command"),
    [
        ("console=ttyS0", "serial --unit=0 --speed=9600\n"),
        ("console=ttyS1,115200", "serial --unit=1 --speed=115200\n"),
        ("console=ttyS0,57600e7", "serial --unit=0 --speed=57600 --word=7 --parity=even\n"),
        ("console=ttyS0,115200n8r", "serial --unit=0 --speed=115200 --word=8 --parity=no\n"),
    ],
)
def test_serial_console_as_the_kernel_has_it(argument: str, command: str) -> None:
    text = dispatcher.early_config({"kernel_arguments": ["console=tty0", argument]})
    assert text.startswith(command + "terminal_input serial console\nterminal_output serial console\nconfigfile")


@pytest.mark.parametrize("arguments", [(), ("console=tty0",), ("console=ttyAMA0",), ("console=hvc0",)])
def test_no_serial_console_of_grub(arguments: tuple[str, ...]) -> None:
    assert "serial" not in dispatcher.early_config({"kernel_arguments": arguments})


@pytest.mark.parametrize("argument", ['a"b', "a b", "$root", "a;reboot", "a\n", "{", "", "é"])
def test_argument_that_grub_would_change(argument: str) -> None:
    with pytest.raises(Fault) as caught:
        dispatcher.check_arguments(["quiet", argument])
    assert caught.value.id == "boot.argument_unsafe"


def test_name_that_grub_would_change() -> None:
    with pytest.raises(Fault):
        dispatcher.render_dispatcher(Dispatcher((Slot("a", "V G", "root"),), ("a",), "run"))


def test_no_marks_are_left() -> None:
    assert "@" not in dispatcher.render_dispatcher(WANTED)
