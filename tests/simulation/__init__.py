"""The whole daemon on a virtual clock: real client, emulator, database file; seeded faults and schedules."""
