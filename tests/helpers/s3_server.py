"""A real S3 server in this process."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
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
