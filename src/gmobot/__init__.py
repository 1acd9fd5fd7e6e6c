"""gmobot: an unattended trading daemon for GMO Coin.

The plan of the house is drawn in ``docs/architecture.md``.
"""

from importlib.metadata import version

__version__ = version("gmobot")
