"""A TCP forwarder: one listening socket, many targets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

_BLOCK: Final = 64 * 1024
_CONNECT_TIMEOUT: Final = 5.0
_ACCEPT_PAUSE: Final = 0.05


class Forwarder:
    """Accepts on `listener` (non-blocking, taken over) and joins each connection with the first target that answers.
    `targets` is asked for every connection; with none left the connection is closed."""

    def __init__(self, listener: socket.socket, targets: Callable[[], list[tuple[str, int]]]) -> None:
        self._targets = targets
        self._connections: set[asyncio.Task[None]] = set()
        self._listener = listener
        self._serving = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, _ = await loop.sock_accept(self._listener)
                except OSError as error:
                    # Out of descriptors, or the peer was faster: the next connection may do better.
                    logger.warning("a connection could not be accepted", extra={"why": str(error)})
                    await asyncio.sleep(_ACCEPT_PAUSE)
                    continue
                task = asyncio.create_task(self._handle(connection))
                self._connections.add(task)
                task.add_done_callback(self._connections.discard)
        finally:
            self._listener.close()

    async def _handle(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection, limit=_BLOCK)
        try:
            await self._join(reader, writer)
        finally:
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for address, port in self._targets():
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT):
                    inner_reader, inner_writer = await asyncio.open_connection(address, port, limit=_BLOCK)
            except (OSError, TimeoutError):
                logger.info("a pod behind a Service does not answer", extra={"address": address, "port": port})
                continue
            try:
                await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
            finally:
                inner_writer.close()
            return

    def close(self) -> None:
        """Stop listening at once and end every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._serving.cancel()
        for task in list(self._connections):
            task.cancel()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until it ends; the other direction may go on."""
    try:
        while data := await reader.read(_BLOCK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        # One side is gone: closing makes the other direction end as well.
        writer.close()
