"""Mounts without a private root: a mount path that does not exist yet becomes a symbolic link to the volume."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from k8s_bridge.localcluster.errors import StateError
from k8s_bridge.localcluster.roots import Bind
from k8s_bridge.localcluster.sandbox import INSTALL
from k8s_bridge.localcluster.tls import write_private

logger = logging.getLogger(__name__)


class MountRefused(Exception):
    """The mount cannot be made on this host as it is; the text says what to do."""


class LinkedMounts:
    """The links there are and the pods that use each. They are noted on disk first, so that the next start of the
    cluster removes what a crash left behind."""

    def __init__(self, data_dir: Path) -> None:
        self._notes = data_dir / "links.json"
        self._links: dict[str, tuple[str, set[str]]] = {}

    def remove_leftovers(self) -> None:
        """Remove the links of an earlier run; a path that is no longer that link is left alone. StateError when it is
        not known what they were."""
        if not self._notes.exists():
            return
        try:
            links: dict[str, str] = json.loads(self._notes.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StateError(
                f"{self._notes} cannot be read ({error}): remove the links to {self._notes.parent} that pods had as "
                f"mounts, then this file."
            ) from error
        for target, source in links.items():
            _unlink(target, source)
        self._notes.unlink()

    def acquire(self, pod_uid: str, binds: tuple[Bind, ...]) -> None:
        """Make every mount of a pod a link, or refuse with MountRefused. Repeating it changes nothing."""
        for bind in binds:
            known = self._links.get(bind.target)
            if known is None:
                self._make(bind, pod_uid)
            elif known[0] == bind.source:
                known[1].add(pod_uid)
            else:
                raise MountRefused(
                    f"mountPath {bind.target} is in use for another volume: without a private file system only one "
                    f"pod at a time can have it. To lift this, {INSTALL}."
                )

    def _make(self, bind: Bind, pod_uid: str) -> None:
        if os.path.lexists(bind.target):
            raise MountRefused(
                f"mountPath {bind.target} exists on this host and cannot be used as a mount: pods have no private file "
                f"system here. Choose a path that does not exist, or {INSTALL}."
            )
        self._links[bind.target] = (bind.source, {pod_uid})
        self._write()
        try:
            os.makedirs(os.path.dirname(bind.target), exist_ok=True)
            os.symlink(bind.source, bind.target)
        except OSError as error:
            del self._links[bind.target]
            self._write()
            raise MountRefused(
                f"mountPath {bind.target} cannot be made on this host ({error.strerror}): pods have no private file "
                f"system here. Choose a path that this user may make, such as one below /tmp, or {INSTALL}."
            ) from error

    def release(self, pod_uid: str) -> None:
        """The pod has ended: links that no other pod uses are removed."""
        for target, (source, users) in list(self._links.items()):
            users.discard(pod_uid)
            if not users:
                _unlink(target, source)
                del self._links[target]
                self._write()

    def _write(self) -> None:
        text = json.dumps({target: source for target, (source, _) in self._links.items()})
        write_private(self._notes, text.encode())


def _unlink(target: str, source: str) -> None:
    if os.path.islink(target) and os.readlink(target) == source:
        os.unlink(target)
    elif os.path.lexists(target):
        logger.warning("a mount link was replaced by something else and is left alone", extra={"path": target})
