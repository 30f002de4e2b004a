"""Runs the emulator with this addition.

Usage: python start.py MODULE [ARGUMENT...], where MODULE runs the emulator: `ministack`, or
`hypercorn`.
"""

import os
import runpy
import sys


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    # The emulator's files are for its user only, whatever umask the user has.
    os.umask(0o077)
    # The emulator waits 10 s for the Docker engine. On a machine with much to do that is too short:
    # tasks fail that would run, and containers stay that it knows nothing of.
    os.environ.setdefault("MINISTACK_DOCKER_TIMEOUT", "60")
    from local_emulator import addition
    from local_emulator.upstream import UnexpectedEmulatorError

    # Python put this file's folder in front, which is no place for the emulator to import from.
    del sys.path[0]
    del sys.argv[0]
    try:
        addition.install()
    except UnexpectedEmulatorError as error:
        sys.exit(f"error: {error}")
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
