"""``python -m gmobot``."""

from gmobot.cli import main

if __name__ == "__main__":
    main()
