"""A watch as a stream of events."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

import orjson

from k8s_bridge.client import Json, Stream
from k8s_bridge.errors import ServerTrouble, error_from_answer


class WatchStream(Iterator[tuple[str, Json]]):
    """One watch: (type, object) as they come, types as the API names them. Use as a context manager."""

    def __init__(self, stream: Stream, kind: str) -> None:
        self._stream = stream
        self._lines = iter(stream)
        self._kind = kind

    def __enter__(self) -> WatchStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __next__(self) -> tuple[str, Json]:
        line = next(self._lines)
        try:
            event = orjson.loads(line)
            happened, obj = str(event["type"]), event["object"]
        except (ValueError, KeyError, TypeError) as err:
            raise ServerTrouble(f"The watch of {self._kind} sent what is no event: {line[:200]!r}") from err
        if happened == "ERROR":
            raise error_from_answer(int(obj.get("code") or 500), obj, verb="watch", resource=self._kind)
        return happened, obj

    def interrupt(self) -> None:
        """Ends the watch from another thread: the reader gets an Unreachable or the end."""
        self._stream.interrupt()

    def close(self) -> None:
        self._stream.close()
