"""The loopback addresses of one cluster. Several clusters of one machine share 127.0.0.0/8 and must never overlap: the
address of a Service in one would otherwise answer with an app of another."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from pathlib import Path
from typing import Final

from k8s_bridge.localcluster.errors import StateError
from k8s_bridge.localcluster.tls import write_private

logger = logging.getLogger(__name__)

_FIRST: Final = 96
_RANGES: Final = 15
# Whoever holds this UDP port of a range owns the range. The kernel frees it with the process, however that ends.
_OWNER_HOST: Final = "255.253"
_OWNER_PORT: Final = 49_096


class NoRangeLeft(Exception):
    """Every range belongs to a running cluster; the text says what to do."""


class AddressRange:
    """`services` and `pods` are the first two numbers of the addresses, such as 127.96 and 127.97."""

    def __init__(self, number: int, owner: socket.socket | None) -> None:
        self.number = number
        self.services = f"127.{_FIRST + 2 * number}"
        self.pods = f"127.{_FIRST + 2 * number + 1}"
        self._owner = owner

    def release(self) -> None:
        if self._owner is not None:
            self._owner.close()
            self._owner = None


def claim_range(data_dir: Path) -> AddressRange:
    """A range that no other running cluster of this machine has, the one of the last start if it is free.

    Elsewhere than on Linux only 127.0.0.1 exists and there is nothing to claim. NoRangeLeft when all are taken,
    StateError when the number of the last start cannot be read.
    """
    if not sys.platform.startswith("linux"):
        return AddressRange(0, None)
    file = data_dir / "address-range"
    last = _last(file)
    for number in dict.fromkeys((last, *range(_RANGES))):
        owner = _own(number)
        if owner is not None:
            if file.exists() and number != last:
                logger.warning("another cluster has this one's addresses: its Services get new ones")
            write_private(file, str(number).encode())
            return AddressRange(number, owner)
    raise NoRangeLeft(f"{_RANGES} local clusters run on this machine already: stop one of them.")


def _last(file: Path) -> int:
    if not file.exists():
        return 0
    text = file.read_text(encoding="ascii", errors="replace").strip()
    if text not in map(str, range(_RANGES)):
        raise StateError(f"{file} holds no number of an address range: remove it, and the Services get new addresses.")
    return int(text)


def _own(number: int) -> socket.socket | None:
    owner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with contextlib.suppress(OSError):
        owner.bind((f"127.{_FIRST + 2 * number}.{_OWNER_HOST}", _OWNER_PORT))
        return owner
    owner.close()
    return None
