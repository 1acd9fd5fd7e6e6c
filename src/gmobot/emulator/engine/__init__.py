"""The exchange itself: accounts, books, matching, money and its own calendar. No protocol, no sockets."""
