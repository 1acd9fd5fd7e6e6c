"""Run the daemon: ``python scripts/run_live.py``, with the configuration from ``GMOBOT_CONFIG``.

Any Python will do to start it: without gmobot it goes on in ``.venv``.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"


def main() -> None:
    """Become ``gmobot run``; return only by exiting."""
    os.chdir(ROOT)
    if importlib.util.find_spec("gmobot") is None:
        python = VENV / "bin" / "python"
        if Path(sys.prefix) == VENV or not python.exists():
            sys.exit("gmobot is not installed here; run: make setup")
        os.execv(python, [str(python), __file__, *sys.argv[1:]])
    from gmobot.cli import main as gmobot

    sys.argv = ["gmobot", "run", *sys.argv[1:]]
    gmobot()


if __name__ == "__main__":
    main()
