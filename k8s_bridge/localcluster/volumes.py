"""A pod's volumes as directories of the host, and its mounts as binds."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Final

from k8s_bridge.localcluster.claims import claim_directory, is_bound
from k8s_bridge.localcluster.controller import Object
from k8s_bridge.localcluster.roots import Bind, resolve_target
from k8s_bridge.localcluster.store import Store

_KNOWN: Final = ("persistentVolumeClaim", "emptyDir", "configMap", "secret")


class VolumeError(Exception):
    """A volume cannot be given; the text is the message of the event. It may come to be possible later."""


class Volumes:
    """The volumes of one pod. `folder` is the pod's own directory."""

    def __init__(self, store: Store, data_dir: Path, folder: Path, pod: Object) -> None:
        self._store = store
        self._data_dir = data_dir
        self._folder = folder
        self._pod = pod
        self._places: dict[str, Path] = {}

    def binds(self, container: Object) -> tuple[Bind, ...]:
        """The mounts of `container`. VolumeError for a volume that is missing, of an unknown type, misused, or that
        this host cannot give."""
        try:
            return tuple(self._bind(container, mount) for mount in container.get("volumeMounts") or ())
        except OSError as error:
            raise VolumeError(f"MountVolume.SetUp failed: {error}") from error

    def _bind(self, container: Object, mount: Object) -> Bind:
        name = mount["name"]
        volumes = {volume["name"]: volume for volume in self._pod["spec"].get("volumes") or ()}
        if name not in volumes:
            raise VolumeError(f'container "{container["name"]}" mounts volume "{name}", which the pod does not have')
        place = self._place(volumes[name])
        read_only = bool(mount.get("readOnly")) or "configMap" in volumes[name] or "secret" in volumes[name]
        claim = volumes[name].get("persistentVolumeClaim") or {}
        source = self._below(place, mount.get("subPath") or "", name)
        return Bind(str(source), resolve_target(mount["mountPath"]), read_only or bool(claim.get("readOnly")))

    def _below(self, place: Path, sub_path: str, name: str) -> Path:
        if not sub_path:
            return place
        if sub_path.startswith("/") or ".." in Path(sub_path).parts:
            raise VolumeError(f'subPath "{sub_path}" of volume "{name}" must be relative and must not contain ".."')
        found = place / sub_path
        # Before anything is made: a link in the volume may lead anywhere.
        if not Path(os.path.realpath(found)).is_relative_to(os.path.realpath(place)):
            raise VolumeError(f'subPath "{sub_path}" of volume "{name}" leads out of the volume')
        if not found.exists():
            found.mkdir(parents=True)
        return found

    def _place(self, volume: Object) -> Path:
        name = volume["name"]
        if name not in self._places:
            self._places[name] = self._make(volume)
        return self._places[name]

    def _make(self, volume: Object) -> Path:
        name = volume["name"]
        namespace = self._pod["metadata"]["namespace"]
        if claim_source := volume.get("persistentVolumeClaim"):
            claim = self._store.find("PersistentVolumeClaim", namespace, claim_source["claimName"])
            if claim is None or not is_bound(claim):
                raise VolumeError(f'persistentvolumeclaim "{claim_source["claimName"]}" not found')
            place = claim_directory(self._data_dir, claim)
            place.mkdir(parents=True, exist_ok=True)
            return place
        place = self._folder / "volumes" / str(name)
        if "emptyDir" in volume:
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o777)
        elif "configMap" in volume:
            source = volume["configMap"] or {}
            self._write("ConfigMap", source.get("name") or "", source, place)
        elif "secret" in volume:
            source = volume["secret"] or {}
            self._write("Secret", source.get("secretName") or "", source, place)
        else:
            kind = next((key for key in volume if key != "name"), "unknown")
            raise VolumeError(
                f'volume "{name}" is of type {kind}, which the local cluster does not have; use one of '
                f"{', '.join(_KNOWN)}, or a real cluster"
            )
        return place

    def _write(self, kind: str, name: str, source: Object, place: Path) -> None:
        found = self._store.find(kind, self._pod["metadata"]["namespace"], name)
        if found is None and not source.get("optional"):
            raise VolumeError(f'MountVolume.SetUp failed: {kind.lower()} "{name}" not found')
        values = contents(found) if found else {}
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o755)
        mode = source.get("defaultMode", 0o644)
        for item in source.get("items") or ({"key": key, "path": key} for key in values):
            if item["key"] not in values:
                if source.get("optional"):
                    continue
                raise VolumeError(f'references non-existent key: {item["key"]} of {kind.lower()} "{name}"')
            if item["path"].startswith("/") or ".." in Path(item["path"]).parts:
                raise VolumeError(f'path "{item["path"]}" of {kind.lower()} "{name}" must stay inside the volume')
            file = place / item["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            file.write_bytes(values[item["key"]])
            file.chmod(item.get("mode", mode))


def contents(obj: Object) -> dict[str, bytes]:
    """The values of a ConfigMap or Secret."""
    encoded = obj.get("data") or {} if obj["kind"] == "Secret" else obj.get("binaryData") or {}
    values = {key: base64.b64decode(value) for key, value in encoded.items()}
    if obj["kind"] == "ConfigMap":
        values |= {key: str(value).encode() for key, value in (obj.get("data") or {}).items()}
    return values
