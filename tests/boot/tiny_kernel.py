# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A kernel of one kilobyte: prints its command line and its initramfs on the serial port and resets.

It shows what a boot loader handed over without the seconds that a real kernel takes. The format is
the kernel's Documentation/arch/x86/boot.rst (32-bit boot protocol: ESI points to the boot parameters).
"""

from __future__ import annotations

import struct

# Source of the code, for GNU as (.code32); objcopy -O binary gave the bytes below.
#   start: mov %esi,%ebp; call 1f; 1: pop %ebx
#          lea banner-1b(%ebx),%esi; call puts;  mov 0x228(%ebp),%esi; call puts     # cmd_line_ptr
#          lea ramdisk-1b(%ebx),%esi; call puts; mov 0x218(%ebp),%esi                # ramdisk_image
#          mov 0x21c(%ebp),%ecx                                                      # ramdisk_size
#   2:     jecxz 3f; lodsb; test %al,%al; jz 4f; call putc; 4: dec %ecx; jmp 2b
#   3:     lea end-1b(%ebx),%esi; call puts
#   5:     mov $0x3fd,%dx; in %dx,%al; test $0x40,%al; jz 5b                          # port drained
#          mov $0xfe,%al; out %al,$0x64; 6: hlt; jmp 6b                               # keyboard reset
#   puts:  lodsb; test %al,%al; jz 7f; call putc; jmp puts; 7: ret
#   putc:  mov %al,%ah; mov $0x3fd,%dx; 8: in %dx,%al; test $0x20,%al; jz 8b
#          mov $0x3f8,%dx; mov %ah,%al; out %al,%dx; ret
#   banner: .asciz "\r\nKERNEL "; ramdisk: .asciz "\r\nINITRD "; end: .asciz "\r\nEND\r\n"
_CODE = bytes.fromhex(
    "89f5e8000000005b8db378000000e84c0000008bb528020000e8410000008db382000000e8360000008bb5180200008b"
    "8d1c020000e30dac84c07405e82b00000049ebf18db38c000000e81000000066bafd03eca84074f7b0fee664f4ebfdac"
    "84c07407e803000000ebf4c388c466bafd03eca82074fb66baf80388e0eec30d0a4b45524e454c20000d0a494e495452"
    "4420000d0a454e440d0a00"
)
_LOAD_ADDRESS = 0x100000


def image() -> bytes:
    """Return a bzImage of boot protocol 2.12."""
    code = _CODE.ljust(4096, b"\0")
    setup = bytearray(1024)
    setup[0x1F1] = 1  # sectors of real-mode code, beside the first
    struct.pack_into("<I", setup, 0x1F4, len(code) // 16)
    struct.pack_into("<H", setup, 0x1FE, 0xAA55)
    struct.pack_into("<H4sH", setup, 0x200, 0x62EB, b"HdrS", 0x020C)
    setup[0x211] = 1  # loaded at 1 MiB
    struct.pack_into("<I", setup, 0x214, _LOAD_ADDRESS)
    struct.pack_into("<I", setup, 0x22C, 0x7FFFFFFF)  # highest address of an initramfs
    struct.pack_into("<IB", setup, 0x230, 0x1000, 1)  # alignment, relocatable
    struct.pack_into("<I", setup, 0x238, 2047)  # longest command line
    struct.pack_into("<QI", setup, 0x258, _LOAD_ADDRESS, 0x10000)
    return bytes(setup) + code
