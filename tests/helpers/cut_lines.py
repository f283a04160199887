"""Lines to a server on this machine that can be cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def cut_after(port: int, size: int, *, sent: bool = False) -> Iterator[int]:
    """The port of a line to a server that breaks after so many bytes of each answer; with `sent`, of what a client sends."""
    listening = socket.create_server(("127.0.0.1", 0))

    def carry(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            threading.Thread(target=_pump, args=(client, server, size if sent else None), daemon=True).start()
            _pump(server, client, None if sent else size)

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
