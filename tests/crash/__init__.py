# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proof that no power cut loses a host: recorded migrations, cut at their writes, started again.

``combos`` says which machines, ``old_system`` and ``bundle`` make one with a small payload, ``stage_one``
runs the engine's staging on its disk, ``recorder`` logs every write of staging and of a whole stage two,
``states`` chooses what a power cut could have left, ``evaluate`` starts it and says how it ended.
``python -m tests.crash`` is the way in from outside; results are lines of JSON that ``report`` counts.
"""
