"""Exports into files. A file appears under its name only once it is whole."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import BinaryIO

from candlewick.transport import Query, Transport

# The formats by the ending of a file, with the type of their answer.
KINDS = {"csv": "text/csv", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}


def format_of(path: Path) -> str:
    """Returns the format that the ending of a file names."""
    ending = path.suffix.lower().lstrip(".")
    if ending not in KINDS:
        raise ValueError(
            f"{path.name} ends in none of {', '.join(f'.{known}' for known in KINDS)}; rename it, or give format"
        )
    return ending


def export_to(transport: Transport, path: Path, format: str, query: Query) -> None:
    """Writes an export beside its place, and moves it there once it is whole and on disk."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            download(transport, format, query, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        # The rest of it is of no use.
        part.unlink(missing_ok=True)
        raise


def download(transport: Transport, format: str, query: Query, file: BinaryIO) -> None:
    """Writes an export into an open file. Waits for a place, but does not begin anew if the answer breaks off."""
    if format not in KINDS:
        raise ValueError(f"there is no format {format!r}; give one of {', '.join(KINDS)}")
    # Parquet is compressed already.
    headers = {} if format == "parquet" else {"Accept-Encoding": "gzip"}
    with contextlib.ExitStack() as stack:
        route, kind = f"export.{format}", KINDS[format]
        response = transport.repeat(lambda: stack.enter_context(transport.stream(route, query, headers, kind=kind)))
        for piece in transport.pieces(response):
            file.write(piece)
