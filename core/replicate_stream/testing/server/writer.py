"""The way out of a connection, with a fault that may sit at any byte of it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

from replicate_stream.testing.server.faults import Fault

# What `struct linger` is made of: two ints, on Windows two shorts.
_LINGER = "hh" if os.name == "nt" else "ii"


class ReplyWriter:
    """Sends one reply. `over` is done when the connection is to be closed."""

    def __init__(self, writer: asyncio.StreamWriter, fault: Fault) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer = writer
        self._is_cut = fault.cut_after is not None
        self._left = fault.cut_after if self._is_cut else fault.stall_after
        self._is_silent = False

    def head(self, data: bytes) -> None:
        """Send the reply's head."""
        self._writer.write(data)
        self.body(b"")

    def body(self, data: bytes) -> None:
        """Send a piece of the body, as far as the fault lets it through."""
        if self._is_silent:
            return
        if self._left is not None:
            self._is_silent = len(data) >= self._left
            data = data[: self._left]
            self._left -= len(data)
        if data:
            self._writer.write(data)
        if self._is_silent and self._is_cut:
            self._finish()

    def end(self) -> None:
        """The reply is complete, unless the fault holds the rest of it back."""
        if not self._is_silent:
            self._finish()

    @property
    def is_whole(self) -> bool:
        """Whether nothing was cut off or held back."""
        return not self._is_silent

    def _finish(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """Close a connection after everything was sent: cleanly, or by a reset."""
    transport = writer.transport
    transport.set_write_buffer_limits(0)
    await writer.drain()
    if reset:
        # No lingering and an abort: the kernel says RST instead of FIN.
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))
        transport.abort()
    else:
        writer.close()
