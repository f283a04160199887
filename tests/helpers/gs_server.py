"""A server of Google Cloud Storage in this process: the emulator of the package gcp-storage-emulator, and two things that it lacks.

The emulator takes an upload whatever its condition (`ifGenerationMatch=0`: only where there is no such object), and lets anyone in. What
Google's own server answers then, by its documentation, is answered here before the emulator is asked: 412, and 401.
"""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

BUCKET = "data"
_NAME = re.compile(rb'"name": ("(?:[^"\\]|\\.)*")')  # of an object, in the first part of an upload


class Server(ThreadingHTTPServer):
    """One request at a time, as the emulator needs it.

    Attributes:
        storage: of the emulator.
        anyone: whether credentials are not asked for.
        lost: how many of the next answers to an upload with a condition never come back.
        refused: how many uploads were, for their condition.
    """

    daemon_threads = True

    def __init__(self, storage: Any, handler: Any) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.storage, self.anyone, self.lost, self.refused = storage, True, 0, 0
        self.one = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, as gcsfs does when it no longer needs an answer, is no error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


def _handler(emulator: Any) -> Any:
    """The emulator's handler of requests, and what it lacks."""

    def does(handler: Any) -> None:
        server: Server = handler.server
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        handler.rfile = io.BytesIO(body)
        asked = parse_qs(urlsplit(handler.path).query)
        conditional = asked.get("ifGenerationMatch") == ["0"]
        with server.one:
            if not server.anyone:
                _refuse(handler, 401, "Anonymous caller does not have storage.objects.get access to the Google Cloud Storage object.")
            elif conditional and _key(asked, body) in server.storage.objects.get(BUCKET, {}):
                server.refused += 1
                _refuse(handler, 412, "At least one of the pre-conditions you specified did not hold.")
            else:
                if conditional and server.lost:
                    server.lost -= 1
                    handler.wfile = io.BytesIO()
                emulator.Router(handler).handle(handler.command)

    return type("Handler", (emulator.RequestHandler,), {f"do_{method}": does for method in ("GET", "POST", "PUT", "DELETE", "PATCH")})


def _key(asked: dict[str, list[str]], body: bytes) -> str:
    """The name of the object that an upload is to make."""
    named = _NAME.search(body)
    return asked["name"][0] if "name" in asked else str(json.loads(named[1])) if named else ""


def _refuse(handler: Any, status: int, message: str) -> None:
    told = json.dumps({"error": {"code": status, "message": message}}).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(told)))
    handler.end_headers()
    handler.wfile.write(told)


@contextmanager
def gs_server() -> Iterator[Server]:
    """A server that lets anyone in, with an empty bucket `data`."""
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="gcp-storage-emulator is not installed")
    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    storage = emulator.Storage(use_memory_fs=True)
    emulator.buckets.create_bucket(BUCKET, storage)
    server = Server(storage, partial(_handler(emulator), storage))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def connect(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """From now on gs:// is this server."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    pytest.importorskip("gcsfs.core").GCSFileSystem.clear_instance_cache()


class Client:
    """Objects of the bucket, by the server's own interface."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"

    def ask(self, method: str, path: str, data: bytes | None = None) -> bytes:
        asked = urllib.request.Request(f"{self.address}{path}", data, {"Content-Type": "application/octet-stream"}, method=method)
        return bytes(urllib.request.urlopen(asked).read())

    def names(self) -> set[str]:
        return {one["name"] for one in json.loads(self.ask("GET", f"/storage/v1/b/{BUCKET}/o")).get("items", ())}

    def put(self, key: str, data: bytes) -> None:
        self.ask("POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={quote(key, safe='')}", data)

    def read(self, key: str) -> bytes:
        return self.ask("GET", f"/storage/v1/b/{BUCKET}/o/{quote(key, safe='')}?alt=media")

    def delete(self, key: str) -> None:
        self.ask("DELETE", f"/storage/v1/b/{BUCKET}/o/{quote(key, safe='')}")


@contextmanager
def bucket(monkeypatch: pytest.MonkeyPatch, server: Server, tmp_path: Path) -> Iterator[Client]:
    """A client of the server, whose bucket `data` is empty; gs:// is this server, and nobody's credentials are known."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setattr(pytest.importorskip("gcsfs.retry"), "asyncio", SimpleNamespace(sleep=_no_time))  # between its six tries
    connect(monkeypatch, server.port)
    client = Client(server.port)
    yield client
    server.anyone, server.lost, server.refused = True, 0, 0
    for key in client.names():
        client.delete(key)


async def _no_time(seconds: float) -> None:
    """Wait for nothing."""
