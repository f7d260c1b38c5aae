"""What SecFlow does to a cluster: about a dozen repeatable verbs (contract H).

Every verb is ensure, delete or read, so it may be sent twice. None of them touches an object that is not labelled as
this installation's. All failures are ClusterErrors; the caller decides about another try by `retryable` and
`retry_after`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from k8s_bridge import names
from k8s_bridge.client import ClusterClient, Json
from k8s_bridge.ensuring import Ensurer
from k8s_bridge.errors import (
    AlreadyExists,
    Expired,
    NamespaceTerminating,
    NotFound,
    StaleVersion,
)
from k8s_bridge.kinds import EVENT, NAMESPACE, POD, SERVICE, collection_path, object_path
from k8s_bridge.log_verbs import LogVerbs
from k8s_bridge.manifests import deployment_manifest, job_manifest, namespace_manifest, service_manifest
from k8s_bridge.results import ClusterVersion, Ensured, NameHolder, Remaining, WarningEvent, warning_event
from k8s_bridge.specs import DEPLOYMENT, JOB, Owner, WorkloadSpec
from k8s_bridge.streams import WatchStream

PAGE = 500  # objects per list call
REPLACE_SECONDS = 10.0  # for an old object to go; less than the lease of a launch
RESTARTS = 5  # how often one listing may start over because its continue token expired


class _Page(NamedTuple):
    """One page of a listing and its resource version. A listing begins, or begins again, with a page that is first."""

    items: list[Json]
    version: str
    is_first: bool


class Gateway(LogVerbs):
    """The verbs, for one cluster and one installation. May be used by many threads at once; they share one connection
    pool.

    The number of requests that a verb costs is stated at each verb.
    """

    def __init__(self, client: ClusterClient, *, installation: str, replace_timeout: float = REPLACE_SECONDS) -> None:
        self.client = client
        self.installation = installation
        self._selector = names.installation_selector(installation)
        self._ensurer = Ensurer(client, self.ensure_namespace, patience=replace_timeout)

    @classmethod
    def connect(
        cls,
        kubeconfig: str | None,
        *,
        installation: str,
        context: str | None = None,
        connect_timeout: float = 3.0,
        read_timeout: float = 10.0,
        pool_size: int = 16,
    ) -> Gateway:
        """A gateway to the cluster of this kubeconfig (a path), or to the one we run in (None). Sends nothing yet."""
        client = ClusterClient(
            kubeconfig,
            context=context,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            pool_size=pool_size,
        )
        return cls(client, installation=installation)

    def check(self, *, timeout: float = 3.0) -> ClusterVersion:
        """The cluster answers and knows us. One request."""
        answer = self.client.request("GET", "/version", timeout=timeout)
        return ClusterVersion(version=str(answer.get("gitVersion", "")), server=self.client.server)

    def close(self) -> None:
        """Drops all connections; a later call opens new ones."""
        self.client.close()

    def ensure_namespace(self, name: str) -> None:
        """The namespace exists and takes new objects. One request, two when it has to be made. Raises
        NamespaceTerminating.
        """
        try:
            found = self.client.request("GET", object_path(NAMESPACE, None, name))
        except NotFound:
            try:
                self.client.request("POST", collection_path(NAMESPACE), body=namespace_manifest(name))
            except AlreadyExists:
                return  # another process was quicker
            return
        if found.get("metadata", {}).get("deletionTimestamp"):
            raise NamespaceTerminating(f"The namespace {name} is being deleted: wait until it is gone, then try again.")

    def service_owner(self, namespace: str, name: str) -> NameHolder:
        """Who holds the Service name: nobody, a node of this installation, or somebody else. One request."""
        found = self._read(SERVICE, namespace, name)
        if found is None:
            return NameHolder(free=True)
        return self._holder(found)

    def service_owners(self, namespace: str, wanted: Collection[str]) -> dict[str, NameHolder]:
        """Who holds each of these Service names, as `service_owner`. One request for one name; for more of them, one for
        each 500 Services of the namespace.
        """
        if len(set(wanted)) < 2:
            return {name: self.service_owner(namespace, name) for name in wanted}
        holders = {name: NameHolder(free=True) for name in wanted}
        for item in self._list(SERVICE, namespace, ""):
            if item["metadata"]["name"] in holders:
                holders[item["metadata"]["name"]] = self._holder(item)
        return holders

    def _holder(self, found: Json) -> NameHolder:
        owner = names.owner_of(found)
        return NameHolder(free=False, owner=owner if owner and owner.installation == self.installation else None)

    def ensure_workload(self, spec: WorkloadSpec, owner: Owner) -> Ensured:
        """The Deployment or Job of this spec and owner exists, and its Service before it (H.5).

        An object of the same attempt and spec is adopted; one of an older attempt, or with another spec, is replaced.
        One request, two with a Service; two more for each object that is found, and some more for each that is
        replaced. All waiting for old objects together takes `replace_timeout` at most.

        Raises NameConflict (somebody else's object, untouched), Superseded (a newer attempt is there, untouched),
        Rejected, QuotaExceeded, NamespaceTerminating, NotAllowed, or an error that is worth another try.
        """
        service_name, give_up = None, self._ensurer.give_up()
        if spec.service is not None and spec.service.ports:
            self._ensurer.ensure(SERVICE, service_manifest(spec, owner), owner, give_up=give_up)
            service_name = spec.service.name
        build = {DEPLOYMENT: deployment_manifest, JOB: job_manifest}[spec.kind]
        uid, created = self._ensurer.ensure(spec.kind, build(spec, owner), owner, give_up=give_up)
        return Ensured(uid=uid, created=created, service_name=service_name)

    def read_workload(self, namespace: str, kind: str, name: str) -> Json | None:
        """The Deployment or Job, None when there is none. One request."""
        return self._read(kind, namespace, name)

    def delete_workload(self, namespace: str, kind: str, name: str, uid: str) -> bool:
        """The object with this uid is gone or going, its pods with it. False: it was gone before. One request.

        The uid is the proof of ownership: an object of the same name that somebody made since is not touched.
        """
        return self._delete(kind, {"name": name, "namespace": namespace, "uid": uid})

    def list_instance(self, namespace: str, instance_id: str) -> dict[str, list[Json]]:
        """Everything of one instance: its Deployments, Jobs, Services and pods, by kind. Four requests."""
        wanted = names.instance_selector(self.installation, instance_id)
        return {kind: self._list(kind, namespace, wanted) for kind in (DEPLOYMENT, JOB, SERVICE, POD)}

    def delete_objects(
        self, namespace: str, instance_id: str, keep: frozenset[int] = frozenset(), *, newest: int | None = None
    ) -> Remaining:
        """Deletes the instance's Deployments, Jobs, Services and pods, but for the attempts in `keep` and those above
        `newest` (made since the caller decided); says what is left.

        Deletion takes time: call again until nothing remains. Four list requests when there is nothing to delete;
        otherwise one per deleted object and up to four lists more.
        """
        wanted = names.instance_selector(self.installation, instance_id)
        found = {kind: self._unkept(kind, namespace, wanted, keep, newest) for kind in (DEPLOYMENT, JOB, SERVICE, POD)}
        if not any(found.values()):
            return Remaining(0)
        # Pods go with their owner. Deleting them while the owner lives would only make it start others.
        collected = {item["metadata"]["uid"] for kind in (DEPLOYMENT, JOB) for item in found[kind]}
        apps = {item["metadata"]["name"] for item in found[DEPLOYMENT]}
        for kind in (DEPLOYMENT, JOB, SERVICE):
            for item in found[kind]:
                self._delete_once(kind, item)
        for pod in found[POD]:
            owners = {reference.get("uid") for reference in pod["metadata"].get("ownerReferences") or ()}
            if not owners & collected and pod["metadata"].get("labels", {}).get(names.APP) not in apps:
                self._delete_once(POD, pod)
        left = [
            (kind, item)
            for kind, items in found.items()
            if items or kind == POD
            for item in self._unkept(kind, namespace, wanted, keep, newest)
        ]
        going = sum(1 for kind, item in left if kind == POD and item["metadata"].get("deletionTimestamp"))
        return Remaining(len(left), tuple(sorted(f"{kind}/{item['metadata']['name']}" for kind, item in left)), going)

    def force_delete_pods(self, namespace: str, instance_id: str) -> list[str]:
        """Takes pods of the instance that are ending, and do not end, out of the cluster's records; returns their names.

        Nobody waits for their node then: what it still runs there may go on. One list request and one for each pod.
        """
        ending = [
            pod["metadata"]
            for pod in self._list(POD, namespace, names.instance_selector(self.installation, instance_id))
            if pod["metadata"].get("deletionTimestamp")
        ]
        return [metadata["name"] for metadata in ending if self._delete(POD, metadata, grace_seconds=0)]

    def list_owned(self, kind: str) -> Iterator[Json]:
        """Every object of this installation, of one kind, in all namespaces. One request for each 500 objects.

        Items have no `kind` of their own. When the listing has to start over, items may come twice.
        """
        for page in self._pages(kind, None, self._selector):
            yield from page.items

    def list_for_watch(self, kind: str, *, selector: str | None = None) -> tuple[list[Json], str]:
        """All objects of this installation, or of `selector`, and the version to watch from. One request for each 500
        objects.
        """
        return self._listing(kind, None, selector or self._selector)

    def watch(
        self,
        kind: str,
        resource_version: str,
        timeout: float,
        *,
        silence: float | None = None,
        selector: str | None = None,
    ) -> WatchStream:
        """What happens to the objects of this installation, or of `selector`, after `resource_version`, as (type, object);
        bookmarks included.

        Ends after `timeout` seconds, by the server. Raises Expired when the version is too old, and Unreachable when
        the connection breaks or says nothing for `silence` seconds (None: five more than `timeout`). One request.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "labelSelector": selector or self._selector,
            "resourceVersion": resource_version,
            "timeoutSeconds": str(max(1, round(timeout))),
        }
        stream = self.client.stream(
            collection_path(kind), query=query, silence=timeout + 5 if silence is None else silence
        )
        return WatchStream(stream, kind)

    def pods_of(self, namespace: str, app: str, *, attempt: int | None = None) -> list[Json]:
        """The pods of workload `app`, or only of one attempt of it, those that are going included. One request (and one more
        for each 500).
        """
        return self._list(POD, namespace, names.workload_selector(self.installation, app, attempt=attempt))

    def warning_events(self, namespace: str, name: str) -> tuple[WarningEvent, ...]:
        """The cluster's warnings about the object `name`, oldest first. One request."""
        query = {"fieldSelector": f"involvedObject.name={name},type=Warning", "limit": str(PAGE)}
        answer = self.client.request("GET", collection_path(EVENT, namespace), query=query)
        found = [warning_event(item) for item in answer.get("items") or ()]
        return tuple(sorted(found, key=lambda event: event.last_seen or ""))

    def warnings_about(self, namespace: str, kind: str) -> dict[str, tuple[WarningEvent, ...]]:
        """The cluster's warnings about all objects of one kind in the namespace, by name, oldest first. One request for each
        500 warnings.
        """
        found: dict[str, list[WarningEvent]] = {}
        for page in self._pages(EVENT, namespace, "", fields=f"involvedObject.kind={kind},type=Warning"):
            for event in map(warning_event, page.items):
                found.setdefault(event.name, []).append(event)
        return {name: tuple(sorted(events, key=lambda event: event.last_seen or "")) for name, events in found.items()}

    def _read(self, kind: str, namespace: str, name: str) -> Json | None:
        try:
            return self.client.request("GET", object_path(kind, namespace, name))
        except NotFound:
            return None

    def _list(self, kind: str, namespace: str, selector: str) -> list[Json]:
        return self._listing(kind, namespace, selector)[0]

    def _listing(self, kind: str, namespace: str | None, selector: str) -> tuple[list[Json], str]:
        found: dict[str, Json] = {}
        version = ""
        for page in self._pages(kind, namespace, selector):
            if page.is_first:
                # What stood in a listing that was given up may be gone by now.
                found.clear()
            found.update((item["metadata"]["uid"], item) for item in page.items)
            version = page.version
        return list(found.values()), version

    def _pages(self, kind: str, namespace: str | None, selector: str, *, fields: str = "") -> Iterator[_Page]:
        """Pages of one listing; a continue token that expired starts it over, which the page then says."""
        query = {"limit": str(PAGE)}
        query |= {name: text for name, text in (("labelSelector", selector), ("fieldSelector", fields)) if text}
        token, restarts = "", 0
        while True:
            try:
                answer = self.client.request(
                    "GET", collection_path(kind, namespace), query={**query, **({"continue": token} if token else {})}
                )
            except Expired:
                restarts += 1
                if not token or restarts > RESTARTS:
                    raise
                token = ""
                continue
            metadata = answer.get("metadata") or {}
            version = str(metadata.get("resourceVersion", ""))
            yield _Page(answer.get("items") or [], version, is_first=not token)
            token = metadata.get("continue") or ""
            if not token:
                return

    def _unkept(self, kind: str, namespace: str, selector: str, keep: frozenset[int], newest: int | None) -> list[Json]:
        owned = [(item, names.owner_of(item)) for item in self._list(kind, namespace, selector)]
        return [
            item
            for item, owner in owned
            if owner is not None and owner.attempt not in keep and (newest is None or owner.attempt <= newest)
        ]

    def _delete_once(self, kind: str, item: Json) -> None:
        if not item["metadata"].get("deletionTimestamp"):
            self._delete(kind, item["metadata"])

    def _delete(self, kind: str, metadata: Mapping[str, Any], *, grace_seconds: int | None = None) -> bool:
        try:
            self._ensurer.delete(kind, metadata, grace_seconds=grace_seconds)
        except (NotFound, StaleVersion):
            return False  # gone, or another object has the name now
        return True
