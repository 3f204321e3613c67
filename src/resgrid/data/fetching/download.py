"""Downloads over HTTP that survive broken connections: kept while unfinished, resumed, retried."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import requests
from filelock import FileLock
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from urllib3.exceptions import HTTPError

from resgrid.artifacts.files import path_in_errors, sha256_of_text, state_folder
from resgrid.data.fetching.published import source_name
from resgrid.terminal import console

_CHUNK = 1 << 20  # bytes
_TIMEOUT = (10, 60)  # seconds: to connect, and between two pieces
_ATTEMPTS = 5  # in a row without a byte
_BACK_OFF = 1.0  # seconds before the second attempt; doubles with each further one


class SourceError(ValueError):
    """A place doesn't give the right file; the message names the file, the place and what to do."""


class _PassingError(Exception):
    """A failure that may pass: a broken connection or an overloaded server."""


@contextmanager
def downloaded(address: str) -> Iterator[Path]:
    """Download a file, and give it for as long as the block lasts.

    It is deleted when the block ends, and when the block finds with a `SourceError` that it is the wrong file; other
    errors leave it, and the next attempt goes on from there. Processes that want the same address wait for each other.

    Raises:
        SourceError: the server doesn't have the file, or can't be reached in several attempts.
        OSError: the file can't be written.
    """
    part = state_folder() / "downloads" / f"{sha256_of_text(address)[:16]}-{source_name(address)}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(part.with_suffix(".lock")):
        _download(address, part)
        try:
            yield part
        except SourceError:
            part.unlink()
            raise
        part.unlink()


def _download(address: str, part: Path) -> None:
    """Go on with `part` until it is complete."""
    failures = 0
    while True:
        before = _size(part)
        try:
            _append(address, part)
            return
        except (_PassingError, requests.ConnectionError, requests.Timeout, HTTPError) as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures == _ATTEMPTS:
                raise SourceError(
                    f"{address} can't be had: {error} (after {_ATTEMPTS} attempts). Try later: what has come is kept"
                ) from error
            seconds = _BACK_OFF * 2 ** (failures - 1)
            console.print(
                f"{address}: {error}; trying again in {seconds:g} s", style="yellow", markup=False, soft_wrap=True
            )
            time.sleep(seconds)


def _append(address: str, part: Path) -> None:
    have = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(address, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        status = response.status_code
        span = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
        if status == HTTPStatus.OK:  # also of a server that knows no ranges, and sends everything again
            _receive(response, part, 0)
        elif status == HTTPStatus.PARTIAL_CONTENT and span and span[1] == str(have):
            _receive(response, part, have)
        elif status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and span and span[2] == str(have):
            return  # complete already
        elif status in (HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
            part.unlink(missing_ok=True)
            raise _PassingError("the download can't be taken up where it ended, and begins anew")
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            raise _PassingError(f"the server answered {status} {response.reason}")
        else:
            raise SourceError(f"{address}: the server answered {status} {response.reason}")


def _receive(response: requests.Response, part: Path, have: int) -> None:
    length = response.headers.get("Content-Length")
    total = None if length is None else have + int(length)
    with (
        _download_bar() as progress,
        path_in_errors(part),
        part.open("ab" if have else "wb") as out,
    ):
        task = progress.add_task(part.name.partition("-")[2].removesuffix(".part"), total=total, completed=have)
        # Undecoded: requests would unpack a .gz that a server declares as Content-Encoding.
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            out.write(chunk)
            progress.advance(task, len(chunk))


def _download_bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
