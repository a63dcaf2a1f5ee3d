"""A proxy whose links can be cut, stalled, made to swallow replies, or lose their connections without a word.

    python -m chaos.proxy '{"consumer-1/redis": ["/path/of/socket", "127.0.0.1"], ...}'

It prints the port of each link as one line of JSON, then takes lines `["link", "mode"]` and answers each with a line.
A link leads to a socket of UNIX, so that no port of a server has to be free.
"""

import asyncio
import json
import socket
import struct
import sys
from typing import Any, Final

CHUNK_BYTES: Final = 65536
MODES: Final = ("pass", "cut", "stall", "swallow", "half-open")
# close at once and tell the other end by RST
LINGER_RST: Final = struct.pack("ii", 1, 0)


class Pair:
    """One connection: the client's end and the server's."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.is_vanished = False
        self.has_swallowed = False

    def reset(self) -> None:
        """End both ends as a reset would."""
        for end in (self.near, self.far):
            raw = end.get_extra_info("socket")
            if raw is not None and raw.family != socket.AF_UNIX and not end.is_closing():
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
            end.transport.abort()


class Link:
    """All connections of one process to one server."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.mode = "pass"
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.pairs: set[Pair] = set()

    def turn(self, mode: str) -> None:
        """Change what becomes of bytes, and of the connections there are."""
        for pair in list(self.pairs):
            if mode == "cut" or pair.has_swallowed:
                # bytes are missing from it: nobody could go on with it
                pair.reset()
            elif mode == "half-open":
                pair.is_vanished = True
        # new connections of a link that lost its old ones work
        self.mode = "pass" if mode == "half-open" else mode
        (self.is_open.clear if mode == "stall" else self.is_open.set)()

    async def accept(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        """Serve one connection of the client."""
        await self.is_open.wait()
        try:
            far_reader, far = await asyncio.open_unix_connection(self.target)
        except OSError:
            near.transport.abort()
            return
        pair = Pair(near, far)
        if self.mode == "cut":
            pair.reset()
            return
        self.pairs.add(pair)
        try:
            await asyncio.gather(
                self.pump(pair, near_reader, far, is_reply=False), self.pump(pair, far_reader, near, is_reply=True)
            )
        finally:
            self.pairs.discard(pair)
            pair.reset()

    async def pump(
        self, pair: Pair, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        """Pass bytes on in one direction, until an end is closed."""
        try:
            while data := await source.read(CHUNK_BYTES):
                await self.is_open.wait()
                if pair.is_vanished:
                    continue
                if is_reply and self.mode == "swallow":
                    pair.has_swallowed = True
                    continue
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        # the end of a connection that vanished is not heard of either: its server must notice by itself
        if pair.is_vanished:
            return
        sink.close()


async def run_proxy(targets: dict[str, list[str]]) -> None:
    """Listen for every link, then obey lines of standard input until it ends."""
    links: dict[str, Link] = {}
    ports: dict[str, int] = {}
    listeners = []
    for name, (target, host) in targets.items():
        links[name] = Link(target)
        listener = await asyncio.start_server(links[name].accept, host, 0)
        ports[name] = listener.sockets[0].getsockname()[1]
        listeners.append(listener)
    say(ports)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        name, mode = json.loads(line)
        links[name].turn(mode)
        say(mode)


def say(value: Any) -> None:  # noqa: ANN401 - any JSON
    """Answer with one line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run_proxy(json.loads(sys.argv[1])))
