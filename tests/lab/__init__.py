# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The test lab: source hosts as virtual machines, built, started and cleaned up.

``recipes`` says what a host is, ``image`` builds its disk into a cache, ``machine`` runs it under QEMU,
``registry`` keeps machines that outlive a command; ``python -m tests.lab`` is the way in from outside.
"""
