"""Reads: list and detail of instances in a large table, through a web process, against raw queries through the same process."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from tests.bench.bed import Bed, environment
from tests.bench.figures import Row, percentile
from tests.bench.rows import NODES, QUERIES, fill, instance_id
from tests.stack import PASSWORD, ROOT, eventually, free_port

PAGE = 100
CALLS = 200
_WARM_UP = 10
_API = "/api/workflow/workflow-instances"
_FLOOR = "/bench/instances"


class Closing(Protocol):
    """What is closed when it is not needed any more."""

    def close(self) -> None: ...


Client = TypeVar("Client", bound=Closing)


class Reader:
    """One kept connection with one user's token."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        body = json.dumps({"username": "admin", "password": PASSWORD})
        self._connection.request("POST", "/api/token/", body, {"Content-Type": "application/json"})
        token = json.load(self._connection.getresponse())["access"]
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def get(self, path: str) -> tuple[float, int]:
        """Milliseconds until the whole answer is there, and the queries that it took."""
        began = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        taken = (time.perf_counter() - began) * 1000
        if answer.status != 200:
            raise RuntimeError(f"GET {path} answered {answer.status}: {body[:300]!r}")
        return taken, int(answer.headers[QUERIES])

    def close(self) -> None:
        self._connection.close()


def measure_reads(bed: Bed) -> list[Row]:
    """List and detail, each in turn with its floor."""
    count = bed.options.instances
    bed.say(f"reads: writing {count} instances of {NODES} nodes")
    fill(bed.stack.database_url, count)
    page = f"?page=1&page_size={PAGE}"
    middle = instance_id(max(1, count // 2))
    with web_process(bed, Reader) as reader:
        bed.say(f"reads: {CALLS} calls each of the list and its floor")
        rows = _compare(reader, f"list of {PAGE} of {count} instances", _API + page, _FLOOR + page)
        bed.say(f"reads: {CALLS} calls each of the detail and its floor")
        rows += _compare(reader, f"detail of 1 of {count} instances", f"{_API}/{middle}", f"{_FLOOR}/{middle}")
        last = max(1, count // PAGE)
        lists = [
            reader.get(f"{_API}?page={number}&page_size={size}")[1] for number, size in ((1, 1), (1, PAGE), (last, 10))
        ]
        details = [reader.get(f"{_API}/{instance_id(number)}")[1] for number in (1, count)]
    for name, found in (("list", lists), ("detail", details)):
        note = "the same for " + (
            "1, 10 and 100 rows, first and last page" if name == "list" else "a draft and one that ran"
        )
        if len(set(found)) > 1:
            note = f"not constant: {found}"
        # The fewest are the floor: as many everywhere is the aim.
        rows.append(Row(f"queries of the {name}", float(max(found)), "", float(min(found)), most_ratio=1.0, note=note))
    return rows


def _compare(reader: Reader, name: str, path: str, floor_path: str) -> list[Row]:
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(_WARM_UP + CALLS):
        for taken, one in ((ours, path), (theirs, floor_path)):
            milliseconds, _ = reader.get(one)
            if number >= _WARM_UP:
                taken.append(milliseconds)
    note = f"p50 {percentile(ours, 50):.1f} ms, floor {percentile(theirs, 50):.1f} ms"
    return [Row(f"{name}, p99", percentile(ours, 99), "ms", percentile(theirs, 99), most_ratio=4.0, note=note)]


@contextmanager
def web_process(bed: Bed, client: Callable[[int], Client]) -> Iterator[Client]:
    """A client of a web process of the bench's site on the stack's database."""
    port = free_port()
    env = {**os.environ, **environment(bed.stack, DJANGO_SETTINGS_MODULE="tests.bench.site", PORT=str(port))}
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "secflow/runtime/gunicorn_config.py")]
    log = bed.stack.folder / "bench-web.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: process.poll() is not None or _listens(port), seconds=60, what="the bench's web process")
        if process.poll() is not None:
            raise RuntimeError(f"the bench's web process did not start: {log.read_text(errors='replace')[-2000:]}")
        reader = client(port)
        try:
            yield reader
        finally:
            reader.close()
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/livez", headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
