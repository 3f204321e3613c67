"""A folder for each test, and a web server on this machine with faults to order."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PAGE = b"<!DOCTYPE html><title>Log in</title>"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESGRID_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("RESGRID_DATA_SOURCE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("resgrid.data.fetching.download._BACK_OFF", 0.0)


@dataclass
class Mirror:
    """A web server.

    Attributes:
        files: what it serves, by name.
        faults: what goes wrong with the next requests, one each: `500`, `drop` (the connection, halfway), `short` (a
            part of the range, and nothing said), `416`, `wrong` (another range), `lie` (a length that is too large),
            `redirect` (to the same URL), `html` (a page instead of the file), or nothing.
        ranges: whether it knows `Range`.
        refuses_ranges: whether it answers each `Range` with 416.
        grows: bytes more that each answer without a range sends before the connection drops; 0 for whole answers.
        has_length: whether it announces the length of a file.
        headers: sent along with every file.
        asked: path and `Range` of each request so far.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    ranges: bool = True
    refuses_ranges: bool = False
    grows: int = 0
    has_length: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


def _handler(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirror.asked.append((self.path, self.headers["Range"]))
            fault = mirror.faults.pop(0) if mirror.faults else ""
            content = mirror.files.get(self.path.removeprefix("/"))
            if fault == "500":
                self.send_error(500)
            elif content is None:
                self.send_error(404)
            elif fault == "redirect":
                self.send_response(302)
                self.send_header("Location", self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif fault == "html":
                self._send(PAGE, 0, "")
            elif fault == "416" or (mirror.refuses_ranges and self.headers["Range"]):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                start = int(re.sub(r"\D", "", self.headers["Range"] or "0")) if mirror.ranges else 0
                self._send(content, max(0, start - 10) if fault == "wrong" else start, fault)

        def _send(self, content: bytes, start: int, fault: str) -> None:
            body = content[start:]
            if fault == "short" and start:
                body = body[: len(body) // 2]
            if start and not body:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
            elif start:
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            for name, value in mirror.headers.items():
                self.send_header(name, value)
            if mirror.has_length:
                self.send_header("Content-Length", str(len(body) + 10 * (fault == "lie")))
            self.end_headers()
            if mirror.grows:
                body = body[: mirror.grows * len(mirror.asked)]
            self.wfile.write(body[: len(body) // 2] if fault == "drop" else body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the output of a test is the test's."""

    return Handler


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    served = Mirror()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    served.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()
