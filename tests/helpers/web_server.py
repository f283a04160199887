"""A server of files over HTTP in this process."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Web:
    """What a server holds, and what it was asked.

    Attributes:
        address: of the server.
        files: path -> content.
        tells: whether it tells an ETag.
        kind: of every file; empty: it tells none.
        status: of every answer.
        cut: an answer breaks off after so many bytes of the content.
        asked: the methods and paths so far.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    tells: bool = True
    kind: str = ""
    status: int = 200
    cut: int | None = None
    asked: list[str] = field(default_factory=list)


@contextmanager
def web_server() -> Iterator[Web]:
    """A server that tells the length of what it sends, and takes no `Range`."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            content = self.answer()[: web.cut]
            self.wfile.write(content)
            self.close_connection = web.cut is not None

        def answer(self) -> bytes:
            web.asked.append(f"{self.command} {self.path}")
            there = web.status == 200 and self.path in web.files
            content = web.files[self.path] if there else b""
            self.send_response(200 if there else web.status if web.status != 200 else 404)
            if web.tells:
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            if web.kind:
                self.send_header("Content-Type", web.kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            return content

        def log_message(self, format: str, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        web.address = f"http://127.0.0.1:{server.server_port}"
        yield web
        server.shutdown()
