# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Words and names of layouts, whatever form the layout has."""

from __future__ import annotations

import re

#: When a part of a layout is made, in order.
MOMENTS = ("convert", "commit")
SLOTS = ("a", "b")
#: What LVM allows in names of groups and volumes, lvm(8) "VALID NAMES".
LVM_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}")
