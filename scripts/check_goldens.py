"""Compare our figures with recorded ones: `check_goldens.py eval|pose|detector DIR`.

One line a set, exit 1 on any deviation. DIR is any folder in the layout of ../shared/goldens.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

PARTS = {"eval": "goldens_eval", "pose": "goldens_pose", "detector": "goldens_detector"}


def main(arguments: list[str]) -> int:
    """The exit code of the chosen part's `check(directory)`."""
    if len(arguments) != 2 or arguments[0] not in PARTS or not Path(arguments[1]).is_dir():
        print(f"usage: check_goldens.py {'|'.join(PARTS)} DIR", file=sys.stderr)
        return 2
    sys.path.insert(0, str(Path(__file__).parent))
    check = importlib.import_module(PARTS[arguments[0]]).check
    return int(check(Path(arguments[1])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
