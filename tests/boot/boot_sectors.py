# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two boot sectors for tests: one stands for an old system, one starts the second disk as a boot manager does."""

from __future__ import annotations

# Source of both, for GNU as (.code16); objcopy -O binary gave the bytes below.
#   old: cli; xor %ax,%ax; mov %ax,%ds; mov %ax,%ss; mov $0x7c00,%sp; mov $(0x7c00+msg-old),%si; cld
#     1: lodsb; test %al,%al; jz 3f; mov %al,%ah; mov $0x3fd,%dx
#     2: in %dx,%al; test $0x20,%al; jz 2b; mov $0x3f8,%dx; mov %ah,%al; out %al,%dx; jmp 1b
#     3: mov $0x3fd,%dx; 4: in %dx,%al; test $0x40,%al; jz 4b; mov $0xfe,%al; out %al,$0x64; 5: hlt; jmp 5b
#   msg: .asciz "\r\nOLD SYSTEM\r\n"
_OLD = bytes.fromhex(
    "fa31c08ed88ed0bc007cbe347cfcac84c0741288c4bafd03eca82074fbbaf80388e0eeebe9bafd03eca84074fbb0fee6"
    "64f4ebfd0d0a4f4c442053595354454d0d0a00"
)
#   chain: cli; xor %ax,%ax; mov %ax,%ds; mov %ax,%es; mov %ax,%ss; mov $0x7c00,%sp
#     mov $0x7c00,%si; mov $0x600,%di; mov $256,%cx; cld; rep movsw; ljmp $0,$(0x600+next-chain)
#   next: sti; mov $0x81,%dl; mov $0x42,%ah; mov $(0x600+packet-chain),%si; int $0x13; jc 1f
#     mov $0x81,%dl; ljmp $0,$0x7c00; 1: hlt; jmp 1b
#   packet: .byte 0x10,0,1,0; .word 0x7c00,0; .quad 0
_CHAIN = bytes.fromhex(
    "fa31c08ed88ec08ed0bc007cbe007cbf0006b90001fcf3a5ea1d060000fbb281b442be3306cd137207b281ea007c0000"
    "f4ebfd10000100007c00000000000000000000"
)

#: What the first one says on the serial port.
OLD_SYSTEM = "OLD SYSTEM"


def old_system(record: bytes) -> bytes:
    """Return a first sector that says who it is and resets; bytes from 440 on are those of ``record``."""
    return _OLD.ljust(440, b"\0") + record[440:512]


def second_disk() -> bytes:
    """Return a first sector that starts the first sector of the BIOS's second disk, with DL 0x81."""
    return _CHAIN.ljust(510, b"\0") + b"\x55\xaa"
