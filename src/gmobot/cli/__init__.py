"""The command line: the only place that puts the parts together.

Every command's module is imported when the command runs, so that ``gmobot --help`` stays instant.
"""

from __future__ import annotations

import os
import sys

_DEBUG = "--debug"


def main() -> None:
    """Run ``gmobot``.

    A mistake of the operator becomes one line and exit code 2, trouble with the machine or the exchange one
    line and exit code 1; ``--debug`` anywhere shows the traceback instead.
    """
    from gmobot.cli.app import app
    from gmobot.errors import GmobotError, UserError

    debug = _DEBUG in sys.argv
    # Only `run` hands it on; for every other command it is main's own.
    arguments = sys.argv[1:] if "run" in sys.argv[1:2] else [text for text in sys.argv[1:] if text != _DEBUG]
    try:
        app(arguments, prog_name="gmobot")
    except BrokenPipeError:
        # Whoever read our output has seen enough (`gmobot audit tail | head`): nothing is left to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (GmobotError, OSError) as error:
        if debug:
            raise
        sys.stderr.write(f"gmobot: {' '.join(str(error).split())}\n")
        sys.exit(2 if isinstance(error, UserError) else 1)
