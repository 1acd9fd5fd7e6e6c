"""The command line: the only place that puts the parts together.

Every command's module is imported when the command runs, so that ``gmobot --help`` stays instant.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``gmobot``; mistakes of the operator become one line and exit code 2."""
    from gmobot.cli.app import app
    from gmobot.errors import UserError

    try:
        app()
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        sys.stderr.write(f"gmobot: {error}\n")
        sys.exit(2)
