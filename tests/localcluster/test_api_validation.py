"""Which objects are refused and how that is said; what is filled in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from k8s_bridge.localcluster import schema, schema_update
from k8s_bridge.localcluster.admission import admit_change, admit_new
from k8s_bridge.localcluster.calls import Target
from k8s_bridge.localcluster.errors import StoreError
from k8s_bridge.localcluster.resources import BY_KIND
from k8s_bridge.localcluster.store import Store, clone
from tests.localcluster.apistand import config_map, deployment, job, pod


def _refused(body: dict[str, Any]) -> StoreError:
    with pytest.raises(StoreError) as error:
        admit_new(_target(body), body, "")
    return error.value


def _target(body: dict[str, Any]) -> Target:
    resource = BY_KIND[body["kind"]]
    return Target(resource, "default" if resource.namespaced else None, body["metadata"].get("name"))


def _at(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """`body` with `value` at a dotted path; None removes."""
    changed = clone(body)
    holder = changed
    *before, last = path.split(".")
    for step in before:
        holder = holder[int(step)] if isinstance(holder, list) else holder.setdefault(step, {})
    if value is None:
        holder.pop(last)
    else:
        holder[last] = value
    return changed


SERVICE = {
    "kind": "Service",
    "apiVersion": "v1",
    "metadata": {"name": "s"},
    "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]},
}
CLAIM = {
    "kind": "PersistentVolumeClaim",
    "apiVersion": "v1",
    "metadata": {"name": "c"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
EVENT = {"kind": "Event", "apiVersion": "v1", "metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}}
SECRET = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"k": "dg=="}}
NAMESPACE = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "n"}}
MAIN = "spec.template.spec.containers.0"
ONE = "spec.containers.0"


@pytest.mark.parametrize(
    "body", [job("a"), pod("a"), deployment("a"), config_map("a"), SERVICE, CLAIM, EVENT, SECRET, NAMESPACE]
)
def test_the_plain_objects_are_accepted_and_filling_them_twice_changes_nothing(body: dict[str, Any]) -> None:
    obj, warnings = admit_new(_target(body), body, "Strict")
    store = Store(None)

    stored = store.create(body["kind"], obj)
    again, _ = admit_change(_target(body), stored, clone(stored), "Strict")

    assert warnings == []
    assert store.update(body["kind"], again) is stored


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        (_at(pod("a"), "metadata.name", "A_b"), "metadata.name", "FieldValueInvalid"),
        (_at(pod("a"), "metadata.name", None), "metadata.name", "FieldValueRequired"),
        (_at(pod("a"), "metadata.labels", {"a": "-"}), "metadata.labels", "FieldValueInvalid"),
        (_at(pod("a"), "metadata.labels", {"/a": "b"}), "metadata.labels", "FieldValueInvalid"),
        (_at(pod("a"), "metadata.finalizers", ["plain"]), "metadata.finalizers", "FieldValueInvalid"),
        (_at(NAMESPACE, "metadata.name", "a.b"), "metadata.name", "FieldValueInvalid"),
        (_at(SERVICE, "metadata.name", "1a"), "metadata.name", "FieldValueInvalid"),
        (_at(job("a"), "metadata.name", "a" * 64), "spec.template.metadata.labels", "FieldValueInvalid"),
        (_at(pod("a"), "spec.containers", []), "spec.containers", "FieldValueRequired"),
        (_at(pod("a"), "spec", None), "spec.containers", "FieldValueRequired"),
        (_at(pod("a"), f"{ONE}.image", None), "spec.containers[0].image", "FieldValueRequired"),
        (_at(pod("a"), f"{ONE}.name", None), "spec.containers[0].name", "FieldValueRequired"),
        (_at(pod("a"), f"{ONE}.name", "A"), "spec.containers[0].name", "FieldValueInvalid"),
        (
            _at(pod("a"), "spec.containers", pod("a")["spec"]["containers"] * 2),
            "spec.containers[1].name",
            "FieldValueDuplicate",
        ),
        (_at(pod("a"), "spec.restartPolicy", "Maybe"), "spec.restartPolicy", "FieldValueNotSupported"),
        (pod("a", imagePullPolicy="Often"), "spec.containers[0].imagePullPolicy", "FieldValueNotSupported"),
        (pod("a", ports=[{"containerPort": 0}]), "spec.containers[0].ports[0].containerPort", "FieldValueInvalid"),
        (
            pod("a", ports=[{"containerPort": 1, "name": "Bad"}]),
            "spec.containers[0].ports[0].name",
            "FieldValueInvalid",
        ),
        (pod("a", env=[{"value": "x"}]), "spec.containers[0].env[0].name", "FieldValueRequired"),
        (pod("a", env=[{"name": "A", "valueFrom": {}}]), "spec.containers[0].env[0].valueFrom", "FieldValueInvalid"),
        (
            pod("a", volumeMounts=[{"name": "v", "mountPath": "/d"}]),
            "spec.containers[0].volumeMounts[0].name",
            "FieldValueNotFound",
        ),
        (
            pod("a", resources={"requests": {"cpu": "-1"}}),
            "spec.containers[0].resources.requests[cpu]",
            "FieldValueInvalid",
        ),
        (
            pod("a", resources={"limits": {"cpu": "1"}, "requests": {"cpu": "1500m"}}),
            "spec.containers[0].resources.requests",
            "FieldValueInvalid",
        ),
        (pod("a", livenessProbe={}), "spec.containers[0].livenessProbe", "FieldValueRequired"),
        (pod("a", livenessProbe={"exec": {}}), "spec.containers[0].livenessProbe.exec.command", "FieldValueRequired"),
        (
            pod("a", readinessProbe={"tcpSocket": {"port": 70000}}),
            "spec.containers[0].readinessProbe.tcpSocket.port",
            "FieldValueInvalid",
        ),
        (
            pod("a", livenessProbe={"tcpSocket": {"port": 1}, "successThreshold": 2}),
            "spec.containers[0].livenessProbe.successThreshold",
            "FieldValueInvalid",
        ),
        (
            _at(job("a"), "spec.template.spec.restartPolicy", None),
            "spec.template.spec.restartPolicy",
            "FieldValueRequired",
        ),
        (_at(job("a"), "spec.template", None), "spec.template", "FieldValueRequired"),
        (job("a", backoffLimit=-1), "spec.backoffLimit", "FieldValueInvalid"),
        (job("a", completionMode="Odd"), "spec.completionMode", "FieldValueNotSupported"),
        (_at(job("a"), f"{MAIN}.image", ""), "spec.template.spec.containers[0].image", "FieldValueRequired"),
        (_at(deployment("a"), "spec.selector", None), "spec.selector", "FieldValueRequired"),
        (_at(deployment("a"), "spec.selector", {}), "spec.selector", "FieldValueInvalid"),
        (
            _at(deployment("a"), "spec.selector.matchLabels", {"app": "b"}),
            "spec.template.metadata.labels",
            "FieldValueInvalid",
        ),
        (
            _at(deployment("a"), "spec.template.spec.restartPolicy", "Never"),
            "spec.template.spec.restartPolicy",
            "FieldValueNotSupported",
        ),
        (
            deployment("a", strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
            "spec.strategy.rollingUpdate",
            "FieldValueForbidden",
        ),
        (deployment("a", replicas=-1), "spec.replicas", "FieldValueInvalid"),
        (_at(SERVICE, "spec.ports", []), "spec.ports", "FieldValueRequired"),
        (
            _at(SERVICE, "spec.ports", [{"port": 1}, {"port": 2, "name": "b"}]),
            "spec.ports[0].name",
            "FieldValueRequired",
        ),
        (_at(SERVICE, "spec.type", "Odd"), "spec.type", "FieldValueNotSupported"),
        (_at(CLAIM, "spec.accessModes", []), "spec.accessModes", "FieldValueRequired"),
        (_at(CLAIM, "spec.resources", None), "spec.resources[storage]", "FieldValueRequired"),
        (job("a", completions=3), "spec.completions", "FieldValueForbidden"),
        (job("a", parallelism=0), "spec.parallelism", "FieldValueForbidden"),
        (job("a", completionMode="Indexed"), "spec.completionMode", "FieldValueForbidden"),
        (job("a", successPolicy={"rules": []}), "spec.successPolicy", "FieldValueForbidden"),
        (
            job(
                "a", podFailurePolicy={"rules": [{"action": "Odd", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
            ),
            "spec.podFailurePolicy.rules[0].action",
            "FieldValueNotSupported",
        ),
        (
            job("a", podFailurePolicy={"rules": [{"action": "Ignore"}]}),
            "spec.podFailurePolicy.rules[0]",
            "FieldValueInvalid",
        ),
        (
            job(
                "a", podFailurePolicy={"rules": [{"action": "Count", "onExitCodes": {"operator": "In", "values": [0]}}]}
            ),
            "spec.podFailurePolicy.rules[0].onExitCodes.values",
            "FieldValueInvalid",
        ),
        (pod("a", livenessProbe={"grpc": {"port": 1}}), "spec.containers[0].livenessProbe.grpc", "FieldValueForbidden"),
        (_at(config_map("a"), "data", {"a/b": "c"}), "data[a/b]", "FieldValueInvalid"),
        (_at(config_map("a"), "data", {"a\n": "c"}), "data[a\n]", "FieldValueInvalid"),
        (_at(config_map("a"), "metadata.name", "a\n"), "metadata.name", "FieldValueInvalid"),
        (_at(SERVICE, "metadata.name", "a\n"), "metadata.name", "FieldValueInvalid"),
        (_at(config_map("a"), "metadata.labels", {"a": "b\n"}), "metadata.labels", "FieldValueInvalid"),
        (_at(config_map("a"), "metadata.labels", {"a\n": "b"}), "metadata.labels", "FieldValueInvalid"),
        (_at(SERVICE, "spec.ports.0.targetPort", "web\n"), "spec.ports[0].targetPort", "FieldValueInvalid"),
        (_at(pod("a"), f"{ONE}.name", "a\n"), "spec.containers[0].name", "FieldValueInvalid"),
        (
            _at(deployment("a"), "spec.selector.matchExpressions", [{"key": "app", "operator": "Has"}]),
            "spec.selector.matchExpressions[0].operator",
            "FieldValueNotSupported",
        ),
        (_at(EVENT, "involvedObject.namespace", "other"), "involvedObject.namespace", "FieldValueInvalid"),
    ],
)
def test_what_is_wrong_is_named_by_field(body: dict[str, Any], field: str, reason: str) -> None:
    error = _refused(body)

    assert (error.status, error.reason) == (422, "Invalid")
    assert error.details is not None
    assert {(cause["field"], cause["reason"]) for cause in error.details["causes"]} == {(field, reason)}
    assert error.details["kind"] == body["kind"]


def test_all_causes_come_at_once_in_the_words_of_kubernetes() -> None:
    body = job("a", backoffLimit=-1)
    body["spec"]["template"]["spec"]["restartPolicy"] = "Always"

    error = _refused(body)

    assert error.message == (
        'Job.batch "a" is invalid: [spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0, '
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"]'
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (_at(pod("a"), "spec.containers", {}), "spec.containers: expected a list, got an object"),
        (
            pod("a", env=[{"name": "A", "value": 1}]),
            "spec.containers[0].env[0].value: expected a string, got an integer",
        ),
        (_at(deployment("a"), "spec.replicas", "2"), "spec.replicas: expected an integer, got a string"),
        (_at(deployment("a"), "spec.replicas", True), "spec.replicas: expected an integer, got a boolean"),
        (_at(SECRET, "data", {"a": "!"}), "data[a]: not valid base64 data"),
        (_at(EVENT, "firstTimestamp", "today"), "firstTimestamp: 'today' is not an RFC 3339 time"),
        (pod("a", resources={"limits": {"cpu": "much"}}), "resources.limits[cpu]: 'much' is no quantity"),
        (pod("a", resources={"limits": {"cpu": "1\n"}}), "resources.limits[cpu]: '1\\n' is no quantity"),
        (_at(pod("a"), "metadata", "x"), "metadata: expected an object, got a string"),
    ],
)
def test_a_wrong_type_is_a_bad_request(body: dict[str, Any], words: str) -> None:
    with pytest.raises(StoreError) as error:
        admit_new(Target(BY_KIND[body["kind"]], "default"), body, "")

    assert (error.value.status, error.value.reason) == (400, "BadRequest")
    assert words in error.value.message


def test_unknown_fields_are_dropped_with_a_warning_or_refused() -> None:
    body = pod("a", comand=["x"])

    obj, warnings = admit_new(_target(body), body, "")
    silent = admit_new(_target(body), body, "Ignore")[1]
    with pytest.raises(StoreError) as error:
        admit_new(_target(body), body, "Strict")

    assert warnings == ['unknown field "spec.containers[0].comand"']
    assert silent == []
    assert "comand" not in obj["spec"]["containers"][0]
    assert error.value.message.endswith('strict decoding error: unknown field "spec.containers[0].comand"')


def test_fields_without_effect_are_told() -> None:
    body = _at(deployment("a"), f"{MAIN}.lifecycle", {"preStop": {"exec": {"command": ["x"]}}})
    body = _at(body, "spec.template.spec.nodeSelector", {"a": "b"})

    obj, warnings = admit_new(_target(body), body, "")
    stored = Store(None).create("Deployment", obj)

    assert warnings == [
        "spec.template.spec.nodeSelector has no effect in the local cluster",
        "spec.template.spec.containers[0].lifecycle has no effect in the local cluster",
    ]
    assert admit_change(_target(body), stored, stored, "")[1] == warnings


def test_a_pod_gets_the_defaults_of_kubernetes() -> None:
    body = pod(
        "a",
        ports=[{"containerPort": 80}],
        resources={"limits": {"cpu": 1, "memory": "1Gi"}},
        readinessProbe={"httpGet": {"port": 80}},
    )
    body["spec"]["volumes"] = [{"name": "v"}, {"name": "c", "configMap": {"name": "x"}}]

    stored = Store(None).create("Pod", admit_new(_target(body), body, "")[0])

    container = stored["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert container["resources"] == {
        "limits": {"cpu": "1", "memory": "1Gi"},
        "requests": {"cpu": "1", "memory": "1Gi"},
    }
    assert container["readinessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert stored["spec"]["restartPolicy"] == "Always"
    assert stored["spec"]["terminationGracePeriodSeconds"] == 30
    assert stored["spec"]["volumes"] == [
        {"name": "v", "emptyDir": {}},
        {"name": "c", "configMap": {"name": "x", "defaultMode": 420}},
    ]
    assert stored["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("host:5000/a", "Always"),
        ("a@sha256:0", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    stored = Store(None).create("Pod", pod("a", image=image))

    assert stored["spec"]["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("body", "path", "value", "field"),
    [
        (job("a"), f"{MAIN}.image", "other", "spec.template"),
        (job("a"), "spec.completions", None, "spec.completions"),
        (deployment("a"), "spec.selector.matchLabels", {"app": "a", "x": "y"}, None),
        (pod("a"), f"{ONE}.command", ["x"], "spec"),
        (CLAIM, "spec.accessModes", ["ReadOnlyMany"], "spec"),
        (CLAIM, "spec.resources.requests.storage", "1Mi", "spec.resources.requests.storage"),
        (SECRET, "type", "other", "type"),
    ],
)
def test_what_must_not_change_is_refused(body: dict[str, Any], path: str, value: Any, field: str | None) -> None:
    stored = Store(None).create(body["kind"], body)
    changed = _at(stored, path, value)
    if field is None:
        field = "spec.selector"
        changed = _at(changed, "spec.template.metadata.labels", value)

    with pytest.raises(StoreError) as error:
        admit_change(_target(body), stored, changed, "")

    assert error.value.status == 422
    assert error.value.details is not None
    assert [cause["field"] for cause in error.value.details["causes"]] == [field]


@pytest.mark.parametrize(
    ("body", "path", "value"),
    [
        (job("a"), "spec.suspend", True),
        (job("a"), "spec.backoffLimit", 1),
        (job("a", suspend=True), f"{MAIN}.image", "other:1"),
        (pod("a"), f"{ONE}.image", "other:1"),
        (deployment("a"), f"{MAIN}.image", "other:1"),
        (CLAIM, "spec.resources.requests.storage", "2Gi"),
    ],
)
def test_what_may_change_is_taken(body: dict[str, Any], path: str, value: Any) -> None:
    stored = Store(None).create(body["kind"], body)

    new, _ = admit_change(_target(body), stored, _at(stored, path, value), "")

    assert new == _at(stored, path, value)


def test_the_committed_schema_is_that_of_the_client() -> None:
    assert json.loads(schema_update.TARGET.read_text()) == schema_update.build()


def test_every_type_named_in_the_schema_is_known() -> None:
    named = {kind.lstrip("[]{}") for info in schema.TYPES.values() for kind in info.fields.values()}

    assert named - set(schema.SCALARS) - set(schema.TYPES) == {"any"}
