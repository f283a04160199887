"""A real HTTP server on this machine that behaves as badly as it is told, one script entry per request."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_used: set[int] = set()


def _new_address(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """A server at a port that no earlier one of this process had: answers are kept under its address."""
    taken = []
    while (server := ThreadingHTTPServer(("127.0.0.1", 0), handler)).server_address[1] in _used:
        taken.append(server)
    for other in taken:
        other.server_close()
    _used.add(server.server_address[1])
    return server


class JudgeServer:
    """Answers `reply(prompt)` unless the script has something worse for the next request."""

    def __init__(self, reply: Callable[[str], str]) -> None:
        self.reply, self.script = reply, deque[Any]()
        self.payloads: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.lock = threading.Lock()
        self.active = self.most_active = 0
        self.pause = 0.0
        self.models: list[dict[str, Any]] | None = None  # what `GET /models` lists; None: there is no such path
        self.listed = 0  # how often it was asked for
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                return

            def do_GET(self) -> None:
                outer.listed += 1
                found = self.path == "/v1/models" and outer.models is not None
                outer.send(self, 200 if found else 404, json.dumps({"data": outer.models}).encode() if found else b"{}", {})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    outer.payloads.append(body)
                    outer.headers.append(dict(self.headers))
                    outer.times.append(time.monotonic())
                    outer.active += 1
                    outer.most_active = max(outer.most_active, outer.active)
                    step = outer.script.popleft() if outer.script else None
                try:
                    time.sleep(outer.pause)
                    outer.act(self, step, body)
                finally:
                    with outer.lock:
                        outer.active -= 1

        self.server = _new_address(Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def act(self, handler: BaseHTTPRequestHandler, step: Any, body: dict[str, Any]) -> None:
        """One answer: None is a good one; (status, headers) or with a body; "reset"; "hang"; "drip"; or raw bytes with status 200."""
        if step == "reset":  # RST instead of an orderly end
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            handler.close_connection = True
            return
        if step == "hang":
            time.sleep(3.0)
            handler.close_connection = True
            return
        if isinstance(step, tuple):
            body_of = step[2] if len(step) > 2 else b'{"error": {"message": "scripted"}}'
            self.send(handler, step[0], body_of, step[1])
            return
        if isinstance(step, bytes):
            self.send(handler, 200, step, {})
            return
        usage = {"prompt_tokens": 1000, "completion_tokens": 10}
        if "prompt" in body:
            choice: dict[str, Any] = {"text": self.reply(body["prompt"]), "finish_reason": "stop"}
        else:
            choice = {"message": {"role": "assistant", "content": self.reply(body["messages"][0]["content"])}}
        data = json.dumps({"choices": [choice], "usage": usage}).encode()
        if step == "drip":
            self.drip(handler, data)
        else:
            self.send(handler, 200, data, {})

    def send(self, handler: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, Any]) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            handler.send_header(name, value() if callable(value) else value)
        handler.end_headers()
        handler.wfile.write(data)

    def drip(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        try:
            for place in range(len(data)):
                handler.wfile.write(data[place : place + 1])
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:  # the client gave up, as it should
            handler.close_connection = True


@contextmanager
def judge_server(reply: Callable[[str], str]) -> Iterator[JudgeServer]:
    """Run a `JudgeServer` while the block lasts."""
    served = JudgeServer(reply)
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.server.shutdown()
        served.server.server_close()
        thread.join()
