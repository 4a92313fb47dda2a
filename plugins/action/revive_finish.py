# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the module revive_finish; a host that cannot be reached ends in *failed*, see plugin_utils/reached.py."""

from __future__ import annotations

from ..plugin_utils.reached import ReachedModule


class ActionModule(ReachedModule):
    """Nothing but that."""
