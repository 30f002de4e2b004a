"""Runs the emulator with a guard in front of it, and with the health checks that it lacks.

Usage: python start.py MODULE [ARGUMENT...], where MODULE runs the emulator: `ministack`, or `hypercorn`.
"""

import os
import runpy
import sys


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    # What the emulator writes is its user's alone, whatever the user's own mask says.
    os.umask(0o077)
    import guard
    import health_checks

    # Python put this file's folder in front, which is no place to import from.
    del sys.path[0]
    del sys.argv[0]
    # Without health checks the emulator is worth something, too; without a guard it does not start.
    guard.install()
    health_checks.install()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
