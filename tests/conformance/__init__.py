"""Numbered cases of GMO Coin's documented and observed behaviour, spoken over real HTTP and WebSockets."""
