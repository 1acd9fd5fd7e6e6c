"""The decision core: one closed bar in, one desired state out.

Pure: no I/O, no clock, no asyncio, no logging, nothing of ours imported from outside. Everything that
runs per bar compiles with Numba and also runs uncompiled, bit for bit the same.
"""
