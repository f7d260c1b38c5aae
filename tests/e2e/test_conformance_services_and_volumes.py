"""Services of each type and data in claims: what nodes hand to each other (contract F.4, G, H.2, H.4)."""

from __future__ import annotations

import pytest

from tests.e2e.driver import Json, app, job, nodes_by_name
from tests.e2e.project import STAY, Project, mount, probe, web_app
from tests.stack import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

TYPES = ["ClusterIP", "NodePort", "LoadBalancer"]
CLAIMS = ["first", "second", "extra", "served"]
PORTS = [
    {"name": "http", "port": 80, "target_port": 8080},
    {"name": "the_second port", "port": 8443, "target_port": 8443, "protocol": "TCP"},
    {"name": "names", "port": 53, "target_port": 5353, "protocol": "UDP"},
]
READY = {"readiness_probe": probe("http", port=8080, path="/")}
# Tries again: the cluster's resolver may hear of a Service after its pods are ready.
PYTHON_CALL = """
import os, time, urllib.request
address = f"http://{os.environ['SITE']}:{os.environ['PORT']}/"
while True:
    try:
        print(urllib.request.urlopen(address, timeout=5).status)
        break
    except OSError:
        time.sleep(0.2)
"""
CALLER = {
    "image": "python:3.11-slim",
    "command": ["python", "-c", PYTHON_CALL],
    "env_vars": [{"name": "PORT", "value": "80"}],
    "input_env_vars": [{"name": "SITE"}],
}


@pytest.fixture(scope="module")
def runs(project: Project) -> dict[str, str]:
    """One workflow for each question, started at once."""
    made = {}
    for kind in TYPES:
        site = project.app_template(STAY, service_ports=PORTS, service_type=kind)
        made[kind] = project.instance([app(site, "site")], name=kind)

    def caller(**fields: object) -> Json:
        template = project.job_template("", container=CALLER, backoff_limit=0)
        return job(template, "call", timeout_seconds=80, **fields)

    site = project.app_template(container=web_app(**READY), service_ports=PORTS[:1])
    by_source = [{"name": "SITE", "source_node_id": "site"}]
    made["generated"] = project.instance([app(site, "site"), caller(input_env_vars=by_source)], [("site", "call")])
    made["chosen"] = project.instance(
        [app(site, "site", service_name="shop-window"), caller(env_vars=[{"name": "SITE", "value": "shop-window"}])],
        [("site", "call")],
    )
    # The caller's own entry has a default, which an app with a Service makes superfluous and one without does not.
    fallback = [{"name": "SITE", "source_node_id": "site", "default_value": "127.0.0.1"}]
    teller = project.job_template(
        "echo $SITE", container={"input_env_vars": [{"name": "SITE", "default_value": "template's"}]}
    )
    quiet = project.app_template(STAY, service_ports=PORTS, create_service=False)
    portless = project.app_template(STAY, create_service=True)
    for name, template in (("without", quiet), ("portless", portless)):
        made[name] = project.instance(
            [app(template, "site"), job(teller, "tell", input_env_vars=fallback)], [("site", "tell")], name=name
        )
    made["overridden"] = project.instance(
        [app(site, "site", service_type="NodePort", service_ports=PORTS[1:2], service_name="other-name")]
    )
    made |= volumes(project)
    return project.launch(made)


def volumes(project: Project) -> dict[str, str]:
    """Workflows that pass files on; they run at once, so no two of them write the same file of a claim."""
    for name in CLAIMS:
        project.claim(name)
    writer = project.job_template(
        "echo from first > /one/file; echo from second > /two/file; mkdir -p /two/deep/er; echo deep > /two/deep/er/file",
        container={"volume_mounts": [mount("first", "/one"), mount("second", "/two")]},
    )
    script = "cat /in/file; touch /in/more 2>/dev/null && echo written || echo refused"
    declared = {"input_volume_mounts": [{"mount_path": "/in"}]}
    reader = project.job_template(script, container=declared)

    def read(name: str, **fields: object) -> Json:
        source = {"mount_path": "/in", "source_node_id": "write", **fields}
        return job(reader, name, input_volume_mounts=[source])

    nodes = [
        job(writer, "write"),
        read("by edge"),
        read("by name", source_pvc_name="first"),
        read("below", source_pvc_name="second", sub_path="deep/er"),
        read("writable", source_pvc_name="extra", read_only=False),
        job(reader, "fixed", volume_mounts=[mount("second", "/in")]),
        job(
            project.job_template("echo prepared > /out/file", container={"volume_mounts": [mount("extra", "/out")]}),
            "prepare",
        ),
    ]
    handed = {"by edge": "second", "by name": "second"}
    edges = [
        {
            "edge_id": f"write-{node['name']}",
            "source": "write",
            "target": node["name"],
            "shared_pvc": handed.get(node["name"]),
        }
        for node in nodes[1:-1]
    ]
    edges.append({"edge_id": "prepared", "source": "prepare", "target": "writable"})
    body = {"name": "hand over", "project_id": project.project, "nodes": nodes, "edges": edges}
    handing = str(project.call("POST", "/workflow-instances", body).ok(201)["id"])
    project.made.append(handing)

    # One claim only at the source: it need not be named anywhere.
    single = project.job_template(
        "echo single > /x/file", container={"volume_mounts": [mount("extra", "/x", sub_path="single")]}
    )
    deep = {"input_volume_mounts": [{"mount_path": "/in", "source_node_id": "write", "sub_path": "single"}]}
    found = project.instance([job(single, "write"), job(reader, "read", **deep)], [("write", "read")])
    serving = project.app_template(
        container=web_app(**READY, volume_mounts=[mount("served", "/srv/data", sub_path="apps")]),
        service_ports=PORTS[:1],
    )
    into = project.job_template(
        "echo from the claim of the app > /in/file; cat /in/file",
        container={"input_volume_mounts": [{"mount_path": "/in", "read_only": False}]},
    )
    from_app = {"input_volume_mounts": [{"mount_path": "/in", "source_node_id": "site", "read_only": False}]}
    with_app = project.instance([app(serving, "site"), job(into, "use", **from_app)], [("site", "use")])
    return {"handing": handing, "single": found, "with app": with_app}


def site_of(project: Project, runs: dict[str, str], name: str) -> Json:
    found = project.ended(runs[name])
    assert found["status"] == "succeeded", found
    return nodes_by_name(found)["site"]


@pytest.mark.parametrize("kind", TYPES)
def test_a_service_of_each_type(project: Project, runs: dict[str, str], kind: str) -> None:
    site = site_of(project, runs, kind)

    made = project.look("Service", site["service_name"])

    assert made is not None
    assert site["service_name"] == f"svc-{site['k8s_resource_name']}"
    spec = made["spec"]
    assert (spec["type"], spec["selector"]) == (kind, {"app": site["k8s_resource_name"]})
    assert [(port["port"], port["targetPort"], port["protocol"]) for port in spec["ports"]] == [
        (80, 8080, "TCP"),
        (8443, 8443, "TCP"),
        (53, 5353, "UDP"),
    ]
    assert [port["name"] for port in spec["ports"]] == ["http", "the-second-port", "names"]
    assert spec["clusterIP"] not in ("", "None", None)
    assert all(bool(port.get("nodePort")) == (kind != "ClusterIP") for port in spec["ports"])
    labels = made["metadata"]["labels"]
    assert (labels["secflow.io/node-id"], labels["secflow.io/instance-id"]) == (site["id"], runs[kind])
    ports = project.object(site)["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert [(port["containerPort"], port["protocol"]) for port in ports] == [
        (8080, "TCP"),
        (8443, "TCP"),
        (5353, "UDP"),
    ]
    assert all(len(port["name"]) <= 15 for port in ports)


@pytest.mark.parametrize("name", ["generated", "chosen"])
def test_a_job_calls_an_app_by_the_name_of_its_service(project: Project, runs: dict[str, str], name: str) -> None:
    site = site_of(project, runs, name)

    call = nodes_by_name(project.read(runs[name]))["call"]
    assert project.logs(runs[name], call) == "200\n"
    assert site["service_name"] == ("shop-window" if name == "chosen" else f"svc-{site['k8s_resource_name']}")


@pytest.mark.parametrize("name", ["without", "portless"])
def test_an_app_without_a_service_has_none_and_inputs_take_their_default(
    project: Project, runs: dict[str, str], name: str
) -> None:
    site = site_of(project, runs, name)

    assert project.look("Service", f"svc-{site['k8s_resource_name']}") is None
    tell = nodes_by_name(project.read(runs[name]))["tell"]
    assert project.logs(runs[name], tell) == "127.0.0.1\n"


def test_what_the_node_says_of_its_service_goes_before_the_template(project: Project, runs: dict[str, str]) -> None:
    site = site_of(project, runs, "overridden")

    made = project.look("Service", "other-name")

    assert made is not None
    assert site["service_name"] == "other-name"
    assert (made["spec"]["type"], [port["port"] for port in made["spec"]["ports"]]) == ("NodePort", [8443])


def test_stop_takes_the_service_along_and_the_name_is_free_again(project: Project) -> None:
    template = project.app_template(STAY, service_ports=PORTS[:1], service_name="for-a-while")
    for _ in range(2):
        one = project.instance([app(template, "site")])
        assert project.run(one)["status"] == "succeeded"
        assert project.look("Service", "for-a-while") is not None
        project.act(one, "uninitialize").ok()
        eventually(lambda: project.look("Service", "for-a-while") is None, what="the removal of the Service")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("by edge", "from second\nrefused\n"),
        ("by name", "from first\nrefused\n"),
        ("below", "deep\nrefused\n"),
        ("writable", "prepared\nwritten\n"),
        ("fixed", "from second\nrefused\n"),
    ],
)
def test_files_go_over_an_edge(project: Project, runs: dict[str, str], name: str, text: str) -> None:
    found = project.ended(runs["handing"])

    assert found["status"] == "succeeded", found
    assert project.logs(runs["handing"], nodes_by_name(found)[name]) == text


def test_the_only_claim_of_a_source_is_found(project: Project, runs: dict[str, str]) -> None:
    found = project.ended(runs["single"])

    node = nodes_by_name(found)["read"]
    assert project.logs(runs["single"], node) == "single\nrefused\n"
    assert node["input_volume_mounts"][0]["pvc_name"] == "extra"


def test_a_job_uses_the_claim_of_an_app(project: Project, runs: dict[str, str]) -> None:
    found = project.ended(runs["with app"])

    assert project.logs(runs["with app"], nodes_by_name(found)["use"]) == "from the claim of the app\n"
    pod = project.object(nodes_by_name(found)["site"])["spec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "volume-0", "persistentVolumeClaim": {"claimName": "served"}}]
    (made,) = pod["containers"][0]["volumeMounts"]
    assert (made["name"], made["mountPath"], made["subPath"]) == ("volume-0", "/srv/data", "apps")


def test_claims_stay_when_their_workflows_go(project: Project, runs: dict[str, str]) -> None:
    project.ended(runs["single"])

    project.act(runs["single"], "uninitialize").ok()

    path = f"/api/v1/namespaces/{project.namespace}/persistentvolumeclaims"
    found = project.client.request("GET", path)["items"]
    assert {item["metadata"]["name"] for item in found if not item["metadata"].get("deletionTimestamp")} == set(CLAIMS)
