"""GMO Coin, as its own reference describes it: the one client of the house."""
