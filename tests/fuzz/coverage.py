# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which lines of the engine ran, and after which other line: what guides the search.

``sys.settrace`` and nothing else, so that it works with every Python; only code of the engine is
followed, so that the cost stays bearable.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

_ENGINE = "/plugins/module_utils/"


class Coverage:
    """``seen`` holds every step from line to line of the engine so far; ``fresh`` counts the new ones."""

    def __init__(self) -> None:
        self.seen: set[tuple[CodeType, int, int]] = set()
        self.fresh = 0
        self._last = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        self.fresh = 0
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            yield
        finally:
            sys.settrace(before)

    def _call(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        if _ENGINE not in frame.f_code.co_filename:
            return None
        self._last = 0
        return self._line

    def _line(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            step = (frame.f_code, self._last, frame.f_lineno)
            self._last = frame.f_lineno
            if step not in self.seen:
                self.seen.add(step)
                self.fresh += 1
        return self._line
