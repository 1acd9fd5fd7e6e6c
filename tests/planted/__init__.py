"""Faults planted into a copy of the code, one at a time: the suite must fail for each of them."""
