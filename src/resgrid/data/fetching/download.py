"""Downloads over HTTP that survive broken connections: unfinished files are kept, resumed and retried."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import requests
from filelock import FileLock
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from urllib3.exceptions import HTTPError

from resgrid.artifacts.files import path_in_errors, sha256_of_text, state_folder
from resgrid.credentials import without_credentials
from resgrid.data.fetching.content import SourceError
from resgrid.data.fetching.raw_files import source_name
from resgrid.terminal import console

_CHUNK = 1 << 20  # bytes
_TIMEOUT = (10, 60)  # seconds: to connect, and between two chunks
_ATTEMPTS = 5  # in a row without a new byte
_ATTEMPTS_IN_ALL = 100  # also with new bytes: a server without ranges could send one byte more each time
_BACK_OFF = 1.0  # seconds before the second attempt; doubles with each further attempt


class _TransientError(Exception):
    """A failure that a retry may resolve: a broken connection, an overloaded server."""


@contextmanager
def downloaded(url: str, limit: int) -> Iterator[Path]:
    """Download a file and provide it until the block ends.

    The file is deleted when the block ends, and when the block finds with a `SourceError` that it is the wrong file;
    other errors keep it, and the next call resumes. Processes that want the same URL wait for each other.

    Args:
        limit: bytes that are downloaded at most.

    Raises:
        SourceError: the server doesn't have the file, sends too much, or can't be reached in several attempts.
        OSError: the file can't be written.
    """
    shown = without_credentials(url)
    part = state_folder() / "downloads" / f"{sha256_of_text(shown)[:16]}-{source_name(url)[-100:]}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(part.with_suffix(".lock")):
        _download(url, shown, part, limit)
        try:
            yield part
        except SourceError:
            part.unlink()
            raise
        part.unlink()


def _download(url: str, shown: str, part: Path, limit: int) -> None:
    """Continue `part` until it is complete."""
    failures = 0
    use_range = True
    for attempt in range(1, _ATTEMPTS_IN_ALL + 1):
        before = _size(part)
        try:
            _append(url, shown, part, limit, use_range)
            return
        except (_TransientError, requests.ConnectionError, requests.Timeout, HTTPError) as error:
            use_range = not isinstance(error, _RangeError)
            failures = 1 if _size(part) > before else failures + 1
            problem = _reason(error)
            if failures == _ATTEMPTS or attempt == _ATTEMPTS_IN_ALL:
                raise SourceError(
                    f"{shown}: can't be downloaded: {problem} ({attempt} attempts); "
                    "retry later: the partial file is kept"
                ) from None
            seconds = _BACK_OFF * 2 ** (failures - 1)
            console.print(f"{shown}: {problem}; retrying in {seconds:g} s", style="yellow")
            time.sleep(seconds)
        except requests.RequestException as error:
            raise SourceError(f"{shown}: can't be downloaded: {without_credentials(str(error))}; fix the URL") from None


def _reason(error: BaseException) -> str:
    """Describe an error: a failed connection by the system's reason, which requests wraps several times."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, requests.RequestException):
            return f"the connection failed ({cause.strerror})"
        cause = cause.__cause__ or cause.__context__
    return without_credentials(str(error))


class _RangeError(_TransientError):
    """The server doesn't continue where the partial file ends; the next attempt asks for the whole file."""


def _append(url: str, shown: str, part: Path, limit: int, use_range: bool) -> None:
    have = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have and use_range else {})
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        status = response.status_code
        span = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
        total = int(span[2]) if span and span[2] != "*" else None
        if status == HTTPStatus.OK:  # also from a server without ranges, which sends everything again
            _receive(response, shown, part, 0, _content_length(response), limit)
        elif status == HTTPStatus.PARTIAL_CONTENT and span and span[1] == str(have):
            _receive(response, shown, part, have, total, limit)
        elif status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and total == have:
            return  # complete already
        elif status in (HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
            raise _RangeError("the server doesn't continue the partial file")
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            raise _TransientError(f"the server answered {status} {response.reason}")
        else:
            raise SourceError(f"{shown}: the server answered {status} {response.reason}; fix the URL")


def _content_length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _receive(response: requests.Response, shown: str, part: Path, start: int, total: int | None, limit: int) -> None:
    """Write a response to `part` from `start` on. Bytes that are there already are compared, not lost."""
    if total is not None and total > limit:
        raise SourceError(f"{shown}: has {total:,} bytes, but at most {limit:,} are allowed; fix the URL")
    with _download_bar() as progress, path_in_errors(part), part.open("r+b" if part.exists() else "w+b") as out:
        task = progress.add_task(part.name.partition("-")[2].removesuffix(".part"), total=total, completed=start)
        out.seek(start)
        # Undecoded: requests would decompress a .gz that a server declares as Content-Encoding.
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            _put(out, chunk)
            progress.advance(task, len(chunk))
            if out.tell() > limit:
                raise SourceError(f"{shown}: sends more than the {limit:,} bytes that are allowed; fix the URL")
        end = out.tell()
        if total is not None and end < total:
            raise _TransientError(f"the server ended after {end:,} of {total:,} bytes")
        out.truncate()


def _put(out: BinaryIO, chunk: bytes) -> None:
    """Write a chunk; what follows is dropped if the file held something else at this place."""
    start = out.tell()
    known = out.read(len(chunk))
    out.seek(start)
    if not chunk.startswith(known):
        out.truncate()
    out.write(chunk)


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
