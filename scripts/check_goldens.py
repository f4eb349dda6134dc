"""Compare our numbers with recorded ones.

python scripts/check_goldens.py eval|pose|detector DIR

Prints one line per set and exits with 1 on any deviation. DIR is any folder in the layout of ../shared/goldens.
"""

import importlib
import sys
from pathlib import Path

PARTS = {"eval": "scores", "pose": "pose_networks", "detector": "detector_networks"}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in PARTS or not Path(sys.argv[2]).is_dir():
        sys.exit(f"usage: check_goldens.py {'|'.join(PARTS)} DIR")
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    sys.exit(importlib.import_module(f"golden.{PARTS[sys.argv[1]]}").check(Path(sys.argv[2])))
