# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Broken documents by the hundred thousand: what is refused is refused as a fault, with the field's path."""
