"""Stands in for Python's own program, as far as the deployer needs it.

Usage: python -c CODE, or python FILE [ARGUMENT...]
"""

import runpy
import sys
from pathlib import Path


def main() -> None:
    if sys.argv[1:2] == ["-c"] and len(sys.argv) > 2:
        code = sys.argv[2]
        sys.argv = ["-c", *sys.argv[3:]]
        exec(code, {"__name__": "__main__"})  # noqa: S102 -- that is what it is for
    elif len(sys.argv) > 1:
        del sys.argv[0]
        # As Python does: the file may import what is beside it.
        sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
