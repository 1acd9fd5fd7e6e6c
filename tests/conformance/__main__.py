"""``python -m tests.conformance --list``: the table of all cases. The suite itself is run by pytest."""

from __future__ import annotations

import argparse
import sys

from tests.conformance.registry import all_cases


def table() -> str:
    """Return a line of each case: number, section, where on the real exchange it may be run, title."""
    found = all_cases()
    lines = [f"{one.name}  {one.section:<6}  {one.production:<6}  {one.title}" for one in found]
    return "\n".join([*lines, f"{len(found)} cases; with GMOBOT_CONFORMANCE=production those marked public and, with keys, keys"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="tests.conformance", description=__doc__)
    parser.add_argument("--list", action="store_true", required=True, help="print the table of all cases")
    parser.parse_args()
    sys.stdout.write(table() + "\n")


if __name__ == "__main__":
    main()
