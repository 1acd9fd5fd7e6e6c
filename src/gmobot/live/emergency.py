"""Where effects go while the database cannot be written: a file of fixed size that takes no new space.

It is allocated in full and synced when the daemon starts, so that a full disk still takes what is written into
it. A record is a header and a batch of statements as JSON; it is on disk when :meth:`EmergencyJournal.append`
returns. What is in the database is told by the highest number that the database keeps, so clearing the file is
only housekeeping: a record is never applied twice, and a torn last one never at all.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import msgspec

from gmobot.errors import StoreError
from gmobot.live.statements import Batch, PlainBatch

NAME = "emergency.journal"
SIZE = 4 << 20
_HEADER = struct.Struct("<IIQ")
"""Length of the payload, its checksum, the record's number."""


class EmergencyJournal:
    """The file. One writer, on one thread.

    Raises:
        StoreError: From every method, when even this file cannot be written or read.
    """

    def __init__(self, path: Path, *, size: int = SIZE) -> None:
        self._path = path
        self._size = size
        self._file = -1
        self._end = 0

    def open(self) -> list[tuple[int, Batch]]:
        """Allocate the file if need be. Returns the whole records in it, in order."""
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            if os.fstat(self._file).st_size < self._size:
                self._allocate()
            records, self._end = scan(self._path)
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}; it needs {self._size >> 20} MiB, free some space") from error
        return records

    def append(self, number: int, batch: Batch) -> None:
        """Write a record; when this returns it is on disk.

        Args:
            number: Above those of all records before.
            batch: Statements of plain values.
        """
        payload = msgspec.json.encode(batch)
        record = _HEADER.pack(len(payload), zlib.crc32(payload, number & 0xFFFFFFFF), number) + payload
        if self._end + len(record) + _HEADER.size > self._size:
            raise StoreError(f"{self._path} is full, and the database still cannot be written")
        try:
            self._put(record + bytes(_HEADER.size), self._end)
            os.fdatasync(self._file)
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error
        self._end += len(record)

    def clear(self) -> None:
        """Forget everything: the database has it."""
        try:
            self._put(bytes(_HEADER.size), 0)
            # Whether that is on disk or not, nothing behind it is read any more: what comes next belongs at the beginning.
            self._end = 0
            os.fdatasync(self._file)
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _allocate(self) -> None:
        missing = self._size - os.fstat(self._file).st_size
        # Written and not only reserved: some file systems promise space that they do not have.
        self._put(bytes(missing), self._size - missing)
        os.fsync(self._file)

    def _put(self, content: bytes, at: int) -> None:
        """Write all of it: a disk that fills up takes a part and calls that a success."""
        done = 0
        while done < len(content):
            done += os.pwrite(self._file, content[done:], at + done)


def read(path: Path) -> list[tuple[int, Batch]]:
    """Return the whole records of a file, in order; none if there is no file."""
    return scan(path)[0] if path.exists() else []


def scan(path: Path) -> tuple[list[tuple[int, Batch]], int]:
    """Return the whole records of a file and where they end. What follows a torn one, or a lower number, is of another time.

    Only records are read: nearly always there is none, and the rest is megabytes of zeros.

    Raises:
        OSError: It cannot be read.
    """
    found: list[tuple[int, Batch]] = []
    end = 0
    with path.open("rb") as file:
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            length, checksum, number = _HEADER.unpack(header)
            payload = file.read(length) if length <= SIZE else b""
            whole = length and len(payload) == length and zlib.crc32(payload, number & 0xFFFFFFFF) == checksum
            if not whole or (found and number <= found[-1][0]):
                break
            found.append((number, [*msgspec.json.decode(payload, type=PlainBatch)]))
            end += _HEADER.size + length
    return found, end


def is_torn(path: Path, end: int) -> bool:
    """Return whether something stands where the whole records end, as :func:`scan` tells it: one that is not whole, perhaps more behind it.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        file.seek(end)
        return any(file.read(_HEADER.size))
