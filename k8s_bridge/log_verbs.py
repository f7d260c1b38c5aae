"""The verbs of the gateway that read what containers have written."""

from __future__ import annotations

from abc import ABC, abstractmethod

from k8s_bridge.client import ClusterClient, Json, Stream
from k8s_bridge.errors import NotFound
from k8s_bridge.kinds import POD, object_path
from k8s_bridge.pods import log_container, pod_for_logs
from k8s_bridge.results import PodLogs

MOST_READ = 64 * 1024 * 1024  # bytes that one question for a log takes from a node


class LogVerbs(ABC):
    """Reads and follows logs, of the pods that `pods_of` gives or of a pod known by name."""

    client: ClusterClient

    @abstractmethod
    def pods_of(self, namespace: str, app: str, *, attempt: int | None = None) -> list[Json]:
        """The pods of workload `app`, or only of one attempt of it."""

    def pod_logs(
        self,
        namespace: str,
        app: str,
        *,
        container: str | None = None,
        tail_lines: int | None = None,
        previous: bool = False,
        timestamps: bool = False,
        limit_bytes: int | None = None,
        attempt: int | None = None,
    ) -> PodLogs:
        """What the newest pod of workload `app` has written, a running pod first (H.5). Two requests.

        With `attempt`, pods of other attempts do not count. `container` is a name in the template's or in the pod's form;
        None means the first one. Of more than `limit_bytes` the end is given, whole lines if it can be. Raises NotFound when
        there is no pod, no such container or no log any more, and Rejected, with the server's words, when the container has
        not written anything yet.
        """
        pod, name = self.log_place(namespace, app, container=container, attempt=attempt)
        return self.read_log(
            namespace,
            pod,
            name,
            tail_lines=tail_lines,
            previous=previous,
            timestamps=timestamps,
            limit_bytes=limit_bytes,
        )

    def log_place(
        self, namespace: str, app: str, *, container: str | None = None, attempt: int | None = None
    ) -> tuple[str, str]:
        """The names of the pod and of the container that `pod_logs` reads. One request. Raises NotFound as it does."""
        pod = pod_for_logs(self.pods_of(namespace, app, attempt=attempt))
        if pod is None:
            raise NotFound(
                f"There is no pod of {app} in {namespace}: it has not started yet, or it was removed.", status=404
            )
        return str(pod["metadata"]["name"]), log_container(pod, container)

    def follow_log(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        silence: float,
        tail_lines: int | None = None,
        since: str | None = None,
        longest: int = 64 * 1024,
    ) -> Stream:
        """The lines of one container, each behind its time, as they are written, until the container ends. One request.

        `since` is a time in RFC 3339; a cluster may round it down to the second, so that lines come which were read
        before. Of a line with more than `longest` bytes the rest is left out. Raises Unreachable after `silence` seconds
        without a line, NotFound and Rejected as `pod_logs`.
        """
        query = {
            "container": container,
            "follow": "true",
            "timestamps": "true",
            **({"tailLines": str(tail_lines)} if tail_lines is not None else {}),
            **({"sinceTime": since} if since is not None else {}),
        }
        return self.client.stream(
            object_path(POD, namespace, pod, "log"), query=query, silence=silence, longest=longest
        )

    def read_log(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        tail_lines: int | None = None,
        previous: bool = False,
        timestamps: bool = False,
        limit_bytes: int | None = None,
    ) -> PodLogs:
        """What one container of a pod known by name has written, of more than `limit_bytes` the end. One request. Raises
        NotFound and Rejected as `pod_logs`.
        """
        query = {
            "container": container,
            **({"tailLines": str(tail_lines)} if tail_lines is not None else {}),
            **({"previous": "true"} if previous else {}),
            **({"timestamps": "true"} if timestamps else {}),
            # The cluster would keep the beginning, and why a container failed stands at the end.
            "limitBytes": str(MOST_READ),
        }
        text = self.client.read_text(object_path(POD, namespace, pod, "log"), query=query, most=limit_bytes)
        # The node answers 200 with this sentence when the container is gone and its log with it.
        if text.startswith("unable to retrieve container logs for ") and "\n" not in text:
            raise NotFound(f"The log of container {container} of pod {pod} is gone: {text}", status=404)
        return PodLogs(pod_name=pod, container=container, text=text)
