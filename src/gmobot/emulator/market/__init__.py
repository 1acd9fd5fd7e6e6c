"""Where prices come from: a synthetic market, GMO's trade archive, a recording of its frames, or somebody else's stream.

The door of four modules; each market says when its next event happens, and the exchange stamps it with now.
"""

from gmobot.emulator.market.archive import ArchiveMarket, archive_files, read_archive
from gmobot.emulator.market.playback import Market, Playback, QuietMarket
from gmobot.emulator.market.recording import RecordedMarket
from gmobot.emulator.market.synthetic import PricePath, SyntheticMarket, SyntheticShape

__all__ = [
    "ArchiveMarket",
    "Market",
    "Playback",
    "PricePath",
    "QuietMarket",
    "RecordedMarket",
    "SyntheticMarket",
    "SyntheticShape",
    "archive_files",
    "read_archive",
]
