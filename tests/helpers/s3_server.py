"""A real S3 server in this process, and a line to it that can be cut."""

from __future__ import annotations

import logging
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

logging.getLogger("werkzeug").setLevel(logging.ERROR)


@contextmanager
def s3_server() -> Iterator[int]:
    """The port of a server that knows any credentials and holds nothing yet."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()


def connect(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """From now on s3:// is this server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache()


@contextmanager
def bucket(monkeypatch: pytest.MonkeyPatch, port: int) -> Iterator[Any]:
    """A client of the server, whose bucket `data` is empty; s3:// is this server."""
    for name, value in {"AWS_ACCESS_KEY_ID": "one", "AWS_SECRET_ACCESS_KEY": "two", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(pytest.importorskip("s3fs").S3FileSystem, "retries", 1)
    connect(monkeypatch, port)
    client = pytest.importorskip("boto3").client("s3")
    client.create_bucket(Bucket="data")
    yield client
    let_in(port, True)
    for one in client.list_objects_v2(Bucket="data").get("Contents", ()):
        client.delete_object(Bucket="data", Key=one["Key"])


def let_in(port: int, anyone: bool) -> None:
    """From now on the server lets anyone in, or only those whom it knows: nobody."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/moto-api/reset-auth", b"inf" if anyone else b"0", {"Content-Type": "text/plain"}, method="POST"
    )
    urllib.request.urlopen(asked).read()


@contextmanager
def cut_after(port: int, size: int) -> Iterator[int]:
    """The port of a line to a server that breaks after so many bytes of each answer."""
    listening = socket.create_server(("127.0.0.1", 0))

    def carry(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            threading.Thread(target=_pump, args=(client, server, None), daemon=True).start()
            _pump(server, client, size)

    _serve(listening, lambda client: threading.Thread(target=carry, args=(client,), daemon=True).start())
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()


def _serve(listening: socket.socket, carry: Callable[[socket.socket], None]) -> None:
    """Give each client to `carry`, in a thread, until the socket is closed."""

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            carry(client)

    threading.Thread(target=accept, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket, most: int | None) -> None:
    sent = 0
    try:
        while data := source.recv(4096):
            data = data if most is None else data[: most - sent]
            target.sendall(data)
            sent += len(data)
            if most is not None and sent >= most:
                target.shutdown(socket.SHUT_RDWR)
                return
    except OSError:
        return


@contextmanager
def breakable(port: int) -> Iterator[tuple[int, Callable[[], None]]]:
    """The port of a line to a server, and what cuts it for good, with all that is under way."""
    listening = socket.create_server(("127.0.0.1", 0))
    ends: list[socket.socket] = [listening]

    def carry(client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", port))
        ends.extend((client, server))
        threading.Thread(target=_pump, args=(client, server, None), daemon=True).start()
        threading.Thread(target=_pump, args=(server, client, None), daemon=True).start()

    def cut() -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    _serve(listening, carry)
    try:
        yield listening.getsockname()[1], cut
    finally:
        cut()
