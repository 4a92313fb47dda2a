# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lifeboat's boot path on a BIOS host: boot sector, core image, block lists; no table, no file system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..runner import Runner
from . import grub_bios

if TYPE_CHECKING:
    from ..layout.model import ResolvedLayout
    from ..lifeboat.model import Lifeboat

Plan = Mapping[str, Any]


def prepare_lifeboat(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan, lifeboat: Lifeboat) -> None:
    raise NotImplementedError


def take_control(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan, lifeboat: Lifeboat) -> None:
    raise NotImplementedError


def settle_after_return(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan) -> None:
    """Nothing: the BIOS starts what LBA 0 says and nothing else."""


def hand_over(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan) -> None:
    """Write GRUB's boot code for the core in the BIOS boot partition: one write of LBA 0."""
    grub_bios.switch_boot_sector(node, resolved)
