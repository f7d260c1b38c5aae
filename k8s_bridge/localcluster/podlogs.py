"""Container logs: lines in the CRI format on disk, and the stream that `pods/log` answers with.

One line is `<time> <stdout|stderr> <F|P> <text>`; time in nanoseconds, UTC. The part before the text always has the
same length. A line longer than 16 KiB is cut into P parts and a final F part.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from k8s_bridge.localcluster.errors import bad_request
from k8s_bridge.localcluster.store import Store

MAX_LINE: Final = 16 * 1024
_BLOCK: Final = 64 * 1024
_READS: Final = 8
# The largest pipe that a process may ask for without special rights.
_PIPE: Final = 1024 * 1024
_TIME: Final = 30
_FLAG: Final = _TIME + 8
_HEADER: Final = _TIME + 10


def log_path(data_dir: Path, pod_uid: str, container: str, restart: int) -> Path:
    return data_dir / "logs" / pod_uid / container / f"{restart}.log"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _stamp(nanoseconds: int) -> bytes:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ" % rest


# Writing


@dataclass
class _Stream:
    name: bytes
    fd: int
    rest: bytes = b""


class LogWriter:
    """Takes what one container writes and appends it to its log. Readers that follow are told of each change."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._streams: list[_Stream] = []
        self._waiting: set[asyncio.Future[None]] = set()
        _open_writers[path] = self

    def pipe(self, name: str) -> int:
        """The writing end of a pipe for `stdout` or `stderr`; the caller closes it once the process has it."""
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        stream = _Stream(name.encode(), read_end)
        self._streams.append(stream)
        asyncio.get_running_loop().add_reader(read_end, self._read, stream)
        return write_end

    def _read(self, stream: _Stream) -> None:
        for _ in range(_READS):
            try:
                data = os.read(stream.fd, _BLOCK)
            except BlockingIOError:
                break
            if not data:
                self._end(stream)
                break
            self._feed(stream, data)
            if len(data) < _BLOCK:
                break
        self._tell()

    def _feed(self, stream: _Stream, data: bytes) -> None:
        header = _stamp(time.time_ns()) + b" " + stream.name + b" "
        whole, newline, rest = (stream.rest + data).rpartition(b"\n")
        out = b""
        if newline:
            lines = whole.split(b"\n")
            if max(map(len, lines)) <= MAX_LINE:
                full = header + b"F "
                out = full + (b"\n" + full).join(lines) + b"\n"
            else:
                out = b"".join(_parts(header, line) for line in lines)
        while len(rest) > MAX_LINE:
            out += header + b"P " + rest[:MAX_LINE] + b"\n"
            rest = rest[MAX_LINE:]
        stream.rest = rest
        if out:
            _write_all(self._file, out)

    def _end(self, stream: _Stream) -> None:
        if stream not in self._streams:
            return
        self._streams.remove(stream)
        asyncio.get_running_loop().remove_reader(stream.fd)
        os.close(stream.fd)
        if stream.rest:
            _write_all(self._file, _parts(_stamp(time.time_ns()) + b" " + stream.name + b" ", stream.rest))

    def finish(self) -> None:
        """The container has ended: take what is still in the pipes, close everything, let the followers go."""
        try:
            for stream in list(self._streams):
                self._drain(stream)
                self._end(stream)
        finally:
            os.close(self._file)
            _open_writers.pop(self._path, None)
            self._tell()

    def _drain(self, stream: _Stream) -> None:
        # A process that outlived the container still holds the pipe; it is not waited for, and it may write without
        # pause: what was in the pipe at the container's end is not more than this.
        left = _PIPE
        with contextlib.suppress(BlockingIOError):
            while left > 0 and (data := os.read(stream.fd, _BLOCK)):
                left -= len(data)
                self._feed(stream, data)

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def changed(self) -> None:
        """Returns after the next change of the file, or when it is finished."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)


_open_writers: Final[dict[Path, LogWriter]] = {}


def _parts(header: bytes, line: bytes) -> bytes:
    out = b""
    while len(line) > MAX_LINE:
        out += header + b"P " + line[:MAX_LINE] + b"\n"
        line = line[MAX_LINE:]
    return out + header + b"F " + line + b"\n"


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


# Reading


async def stream(
    data_dir: Path,
    pod: dict[str, Any],
    *,
    container: str | None = None,
    tail_lines: int | None = None,
    follow: bool = False,
    previous: bool = False,
    timestamps: bool = False,
    since_seconds: int | None = None,
    since_time: datetime | None = None,
    limit_bytes: int | None = None,
    store: Store | None = None,
) -> AsyncIterator[bytes]:
    """The log of one container in blocks of whole lines; an async generator. With `follow` it goes on until that run of
    the container ends.

    BadRequest 400, before the first block, for: no container named although there are several, an unknown one, one
    that has not started yet, no previous run. A pod that is not scheduled yet has an empty log. The pod is looked up
    again in `store`, when given, so that a stale one does no harm.
    """
    if store is not None:
        meta = pod["metadata"]
        pod = store.find("Pod", meta.get("namespace"), meta["name"]) or pod
    name = _container_name(pod, container)
    path = _current_path(data_dir, pod, name, previous=previous)
    if path is None or not path.exists():
        return
    oldest = _oldest(since_seconds, since_time)
    left = limit_bytes
    async for block in _blocks(path, tail_lines, follow):
        text = _render(block, oldest, timestamps)
        if left is not None:
            text = text[:left]
            left -= len(text)
        if text:
            yield text
        if left == 0:
            return


def _container_name(pod: dict[str, Any], asked: str | None) -> str:
    spec, pod_name = pod["spec"], pod["metadata"]["name"]
    names = [item["name"] for item in spec["containers"]]
    init = [item["name"] for item in spec.get("initContainers") or ()]
    if not asked:
        if len(names) == 1:
            return str(names[0])
        text = f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(names)}]"
        if init:
            text += f" or one of the init containers: [{' '.join(init)}]"
        raise bad_request(text)
    if asked not in names and asked not in init:
        raise bad_request(f"container {asked} is not valid for pod {pod_name}")
    return asked


def _current_path(data_dir: Path, pod: dict[str, Any], name: str, *, previous: bool) -> Path | None:
    status, meta = pod.get("status") or {}, pod["metadata"]
    statuses = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    found = next((item for item in statuses if item["name"] == name), None)
    where = f'container "{name}" in pod "{meta["name"]}"'
    ended = ((found or {}).get("lastState") or {}).get("terminated")
    if previous:
        if not ended or not ended.get("containerID"):
            raise bad_request(f"previous terminated {where} not found")
        return _path_of(data_dir, ended["containerID"])
    if found is None:
        return None
    state = found.get("state") or {}
    if "running" in state or "terminated" in state:
        id = found.get("containerID") or (state.get("terminated") or {}).get("containerID")
        return _path_of(data_dir, id) if id else None
    if ended and ended.get("containerID"):
        return _path_of(data_dir, ended["containerID"])
    reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
    why = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}
    raise bad_request(f"{where} is waiting to start: {why.get(reason, reason)}")


def container_id(pod_uid: str, container: str, restart: int) -> str:
    return f"process://{pod_uid}/{container}/{restart}"


def _path_of(data_dir: Path, id: str) -> Path:
    uid, container, restart = id.removeprefix("process://").split("/")
    return log_path(data_dir, uid, container, int(restart))


def _oldest(since_seconds: int | None, since_time: datetime | None) -> bytes | None:
    if since_time is None and since_seconds is not None:
        since_time = datetime.now(UTC) - timedelta(seconds=since_seconds)
    if since_time is None:
        return None
    # In whole numbers: as a float a time of today is off by up to 128 ns, and lines of that very time would be left out.
    return _stamp((since_time - _EPOCH) // timedelta(microseconds=1) * 1000)


def _render(block: bytes, oldest: bytes | None, timestamps: bool) -> bytes:
    out: list[bytes] = []
    for line in block.split(b"\n")[:-1]:
        if oldest is not None and line[:_TIME] < oldest:
            continue
        text = line[_HEADER:]
        if line[_FLAG : _FLAG + 1] == b"F":
            text += b"\n"
        out.append(line[: _TIME + 1] + text if timestamps else text)
    return b"".join(out)


async def _blocks(path: Path, tail_lines: int | None, follow: bool) -> AsyncIterator[bytes]:
    """Whole CRI lines; with `follow` until the writer of `path` is finished."""
    with path.open("rb") as file:
        if tail_lines is not None:
            file.seek(_tail_offset(file.fileno(), tail_lines))
        rest = b""
        while True:
            # Looked up before reading: what is written in between is read in the next round.
            writer = _open_writers.get(path)
            if data := file.read(_BLOCK):
                whole, newline, rest = (rest + data).rpartition(b"\n")
                if newline:
                    yield whole + newline
                # A long log must not keep the event loop from everybody else.
                await asyncio.sleep(0)
            elif not follow or writer is None:
                return
            elif writer is _open_writers.get(path):
                await writer.changed()


def _tail_offset(fd: int, lines: int) -> int:
    """Where the last `lines` whole lines begin, counting P parts and their F as one."""
    end = os.fstat(fd).st_size
    size = _BLOCK
    while lines > 0:
        begin = max(end - size, 0)
        parts = os.pread(fd, end - begin, begin).split(b"\n")
        offset, found = begin + sum(map(len, parts)) + len(parts) - 1, 0
        # The last part follows the last newline; the first one may be the end of a line that began earlier.
        for part in reversed(parts[1 if begin else 0 : -1]):
            if part[_FLAG : _FLAG + 1] == b"F":
                found += 1
                if found > lines:
                    return offset
            offset -= len(part) + 1
        if not begin:
            return 0
        size *= 4
    return end
