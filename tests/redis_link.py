"""A link to a Redis at a fixed address: it can lose what the server answers, and lead new connections elsewhere."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import unquote, urlsplit

CHUNK_BYTES: Final = 65536


class Link:
    """Passes everything on; replies only while it does not swallow them."""

    _target: str

    def __init__(self, redis_url: str) -> None:
        self.lead_to(redis_url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.swallows = False
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, redis_url: str) -> None:
        """Lead new connections to another server, as a name or a service does; the others stay where they are."""
        # where new connections lead; those that are there stay
        self.target = redis_url

    def close(self) -> None:
        """End all connections."""
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = connect(self.target)
                self._sockets += [near, far]
                for source, sink, is_reply in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._pass_on, args=(source, sink, is_reply), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                if not (is_reply and self.swallows):
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


def connect(redis_url: str) -> socket.socket:
    """Connect to a server by its URL."""
    url = urlsplit(redis_url)
    if url.scheme != "unix":
        return socket.create_connection((url.hostname, url.port))
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(unquote(url.path))
    return connected


@contextmanager
def linked(redis_url: str) -> Iterator[Link]:
    """Lead to the server of a `unix://` URL until the block ends."""
    link = Link(redis_url)
    try:
        yield link
    finally:
        link.close()
