# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import drivers
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

DEPENDENCIES = """\
kernel/drivers/net/ethernet/intel/e1000/e1000.ko.xz:
kernel/drivers/net/ethernet/mellanox/mlxsw/big.ko.xz: kernel/lib/helper.ko.xz
kernel/drivers/md/dm-mod.ko.xz: kernel/lib/dax.ko.xz
kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/lib/crc16.ko.xz
kernel/fs/jbd2/jbd2.ko.xz:
kernel/lib/crc16.ko.xz:
kernel/lib/helper.ko.xz:
kernel/lib/dax.ko.xz:
kernel/arch/x86/crypto/crc32c-intel.ko.xz:
kernel/sound/beep.ko.xz:
"""
SOFT = "# comment\nsoftdep ext4 pre: crc32c-intel post: beep absent\n"


def test_dependencies_and_soft_dependencies_come_along() -> None:
    assert drivers.choose(DEPENDENCIES, SOFT, ["kernel/fs/ext4/*", "*/dm-mod"], []) == [
        "kernel/arch/x86/crypto/crc32c-intel.ko.xz",
        "kernel/drivers/md/dm-mod.ko.xz",
        "kernel/fs/ext4/ext4.ko.xz",
        "kernel/fs/jbd2/jbd2.ko.xz",
        "kernel/lib/crc16.ko.xz",
        "kernel/lib/dax.ko.xz",
        "kernel/sound/beep.ko.xz",
    ]


def test_what_is_left_out_stays_when_something_needs_it() -> None:
    chosen = drivers.choose(
        DEPENDENCIES, "", ["kernel/drivers/net/*", "kernel/fs/ext4/*"], ["*/mlxsw/*", "kernel/lib/*"]
    )
    assert chosen == [
        "kernel/drivers/net/ethernet/intel/e1000/e1000.ko.xz",
        "kernel/fs/ext4/ext4.ko.xz",
        "kernel/fs/jbd2/jbd2.ko.xz",
        "kernel/lib/crc16.ko.xz",
    ]


@pytest.mark.parametrize("file", ["kernel/a/dm-mod.ko", "kernel/a/dm-mod.ko.xz", "dm_mod.ko.zst"])
def test_a_module_has_one_name_however_it_is_packed(file: str) -> None:
    assert drivers.module_name(file) == "dm_mod"


def test_aliases_of_modules_and_of_the_kernel_itself_are_listed() -> None:
    text = "# Aliases\nalias pci:v00008086d0000100Esv*sd*bc*sc*i* e1000\nalias fs-ext4 ext4\n"
    builtin = b"ahci.license=GPL\0ahci.alias=pci:v*d*sv*sd*bc01sc06i01*\0virtio_pci.alias=pci:v00001AF4d*sv*\0"
    assert drivers.alias_patterns(text, builtin, "kernel/drivers/virtio/virtio_pci.ko\nkernel/a/i2c-core.ko\n") == [
        "builtin:i2c_core",
        "builtin:virtio_pci",
        "pci:v*d*sv*sd*bc01sc06i01*",
        "pci:v00001AF4d*sv*",
        "pci:v00008086d0000100Esv*sd*bc*sc*i*",
    ]


@pytest.mark.parametrize("releases", [[], ["6.1", "6.12"]])
def test_exactly_one_kernel_is_wanted(tmp_path: Path, releases: list[str]) -> None:
    for release in releases:
        (tmp_path / "usr/lib/modules" / release).mkdir(parents=True)
    with pytest.raises(Fault) as caught:
        drivers.release_of(tmp_path)
    assert caught.value.id == "bundle.kernel_unclear"
