"""GMO Coin on loopback or in memory: an exchange that a client cannot tell from the real one."""
