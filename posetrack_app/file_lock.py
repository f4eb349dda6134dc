"""Files that one process writes at a time."""

from __future__ import annotations

import sys
from typing import IO

if sys.platform != "win32":
    import fcntl


def lock(file: IO[bytes]) -> bool:
    """Hold the open file for this process alone; False where another holds it. On Windows nothing is held.

    The system lets go of it when the process ends, however it does.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # a file system without locks: then the user must take care
    return True
