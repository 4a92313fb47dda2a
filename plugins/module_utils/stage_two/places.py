# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where stage two finds and leaves things; every path hangs below one root, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """Paths in the convert environment; ``root`` is ``/`` there and a scratch folder in tests."""

    root: Path = Path("/")

    @property
    def configuration(self) -> Path:
        """What the host's own small cpio brought."""
        return self.root / "etc/dualroot"

    @property
    def proof(self) -> Path:
        """Manifest, signature and certificate of the bundle, from the same cpio."""
        return self.configuration / "proof"

    @property
    def run(self) -> Path:
        return self.root / "run/dualroot"

    @property
    def payload(self) -> Path:
        """The memory file system of the payload and of the recovery system's kernel and initrd."""
        return self.run / "payload"

    @property
    def old(self) -> Path:
        return self.run / "old"

    @property
    def new(self) -> Path:
        return self.run / "new"

    @property
    def past_return(self) -> Path:
        """Exists from the point of no return on; also read by the first process."""
        return self.run / "past_return"

    @property
    def disk(self) -> Path:
        """Holds the node of the disk once it is changed, and so no longer to be known by its content."""
        return self.run / "disk"

    @property
    def reboot(self) -> Path:
        """Asks the first process for a reboot, should our own fail."""
        return self.run / "reboot"

    def inside(self, base: Path, path: str) -> Path:
        """Return an absolute ``path`` of another system, whose root is mounted at ``base``."""
        return base / path.lstrip("/")
