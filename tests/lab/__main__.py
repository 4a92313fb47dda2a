# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m tests.lab``: build images, and run machines that outlive the command.

Machines live in ``.work/lab/NAME`` (or under ``DUALROOT_LAB``); ``start`` prints how to reach one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from .bundles import RECIPES as BUNDLES
from .bundles import BundleError, build_bundle
from .converted import CONVERSIONS, PREFIX, convert
from .guest import MachineError
from .hardware import Options
from .image import ImageError, build
from .machine import Machine, end_on_signal
from .recipes import RECIPES

REPOSITORY = Path(__file__).parents[2]


def lab_folder() -> Path:
    """Return the folder of the machines that outlive a command."""
    chosen = os.environ.get("DUALROOT_LAB")
    return Path(chosen).resolve() if chosen else REPOSITORY / ".work/lab"


def machines() -> Iterator[Machine]:
    folder = lab_folder()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / "machine.json").exists():
            yield Machine(path)


def find(name: str) -> Machine:
    if not (lab_folder() / name / "machine.json").exists():
        raise MachineError(f"there is no machine {name}; `python -m tests.lab list` names them")
    return Machine(lab_folder() / name)


def do_build(arguments: argparse.Namespace) -> None:
    for name in arguments.image:
        print(build(RECIPES[name]).folder)


def do_bundle(arguments: argparse.Namespace) -> None:
    print(json.dumps(build_bundle(arguments.name).variables()))


def do_converted(arguments: argparse.Namespace) -> None:
    for name in arguments.name:
        print(convert(name).folder)


def do_start(arguments: argparse.Namespace) -> None:
    folder = lab_folder() / arguments.name
    if folder.exists():
        machine = Machine(folder)
    else:
        options = Options(
            image=arguments.image,
            memory_mib=arguments.memory,
            extra_disks=tuple(arguments.extra_disk),
            lifetime=arguments.lifetime,
            firmware=arguments.firmware,
            bus=arguments.bus,
        )
        converted = arguments.image.startswith(PREFIX)
        image = convert(arguments.image.removeprefix(PREFIX)) if converted else None
        machine = Machine.create(folder, options, image)
    machine.start(detached=True)
    if not arguments.no_wait:
        machine.wait_for_ssh()
    print(f"inventory: {machine.inventory}")
    print(f"serial log: {machine.serial_log}")
    print(f"login: {' '.join(machine.ssh_command())}")


def do_stop(arguments: argparse.Namespace) -> None:
    find(arguments.name).stop()


def do_list(_arguments: argparse.Namespace) -> None:
    for machine in machines():
        number = machine.process_id()
        state = f"running, process {number}, port {machine.port}" if number else "stopped"
        print(f"{machine.name}: {machine.options.image}, {state}")


def do_destroy(arguments: argparse.Namespace) -> None:
    if arguments.all:
        for machine in machines():
            machine.destroy()
    for name in arguments.name:
        # To destroy what is not there is no error: clean-up must be repeatable.
        if (lab_folder() / name / "machine.json").exists():
            find(name).destroy()


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    verbs = top.add_subparsers(required=True, metavar="VERB")
    verb = verbs.add_parser("build", help="build images into the cache")
    verb.add_argument("image", nargs="+", choices=sorted(RECIPES))
    verb.set_defaults(do=do_build)
    verb = verbs.add_parser("bundle", help="build a bundle into the cache, and print its variables as JSON")
    verb.add_argument("name", choices=sorted(BUNDLES))
    verb.set_defaults(do=do_bundle)
    verb = verbs.add_parser("converted", help="migrate source hosts, and keep their disks in the cache")
    verb.add_argument("name", nargs="+", choices=sorted(CONVERSIONS))
    verb.set_defaults(do=do_converted)
    verb = verbs.add_parser("start", help="make a machine, or take up a stopped one, and wait for its SSH")
    verb.add_argument("name")
    images = sorted([*RECIPES, *(PREFIX + name for name in CONVERSIONS)])
    verb.add_argument("--image", default="debian11", choices=images)
    verb.add_argument("--memory", type=int, default=Options.memory_mib, help="MiB")
    verb.add_argument("--extra-disk", action="append", default=[], metavar="SIZE", help="as 1G, or clone; repeatable")
    verb.add_argument("--firmware", default="", choices=("bios", "uefi"), help="default: the image's")
    verb.add_argument("--bus", default=Options.bus, choices=("virtio", "sata", "nvme"), help="of the disks")
    verb.add_argument("--lifetime", type=int, default=Options.lifetime, help="seconds until it is ended")
    verb.add_argument("--no-wait", action="store_true", help="do not wait for SSH")
    verb.set_defaults(do=do_start)
    verb = verbs.add_parser("stop", help="end a machine at once; its disk stays")
    verb.add_argument("name")
    verb.set_defaults(do=do_stop)
    verb = verbs.add_parser("list", help="show the machines")
    verb.set_defaults(do=do_list)
    verb = verbs.add_parser("destroy", help="end machines and delete their folders")
    verb.add_argument("name", nargs="*")
    verb.add_argument("--all", action="store_true")
    verb.set_defaults(do=do_destroy)
    return top


def main() -> int:
    arguments = parser().parse_args()
    end_on_signal()
    try:
        arguments.do(arguments)
    except (BundleError, ImageError, MachineError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
