"""Edges are made, changed and removed by forms."""

from __future__ import annotations

from django.test import Client

from tests.admin.building import INSTANCES, build_url, node_url, send
from tests.admin.conftest import said
from tests.admin.pages import problems_of
from tests.factories import InstanceFactory, NodeFactory


def test_a_cycle_is_named_with_its_path(admin: Client) -> None:
    instance = InstanceFactory()
    a, b, c = (NodeFactory(instance=instance, name=name) for name in "abc")
    add = f"{INSTANCES}{instance.pk}/edges/add/"
    for source, target in ((a, b), (b, c)):
        assert admin.post(add, {"source": source.pk, "target": target.pk, "shared_pvc": ""}).status_code == 302
    closing = {"source": c.pk, "target": a.pk, "shared_pvc": ""}

    checked = admin.post(f"{add}?_check=1", closing)
    refused = admin.post(add, closing)
    page = admin.get(node_url(a)).content.decode()

    cycle = "the edges form a cycle: "
    assert checked.json()["problems"][0]["message"].startswith(cycle)
    assert set(problems_of(refused)["target"].removeprefix(cycle).split(" → ")) == {"a", "b", "c"}
    assert "No other node could run before this one" in page
    assert f"runs_after.{b.pk}" in admin.get(node_url(c)).content.decode()


def test_edges_are_changed_and_removed(admin: Client) -> None:
    instance = InstanceFactory()
    a, b, c = (NodeFactory(instance=instance, name=name) for name in "abc")
    admin.post(f"{INSTANCES}{instance.pk}/edges/add/", {"source": a.pk, "target": b.pk, "shared_pvc": "data"})
    instance.refresh_from_db()
    edge_id = instance.edges[0]["edge_id"]
    edit = f"{INSTANCES}{instance.pk}/edges/edit/?edge={edge_id}"

    moved = send(admin, edit, target=c.pk, shared_pvc="")
    again = admin.post(f"{INSTANCES}{instance.pk}/edges/add/", {"source": a.pk, "target": b.pk, "shared_pvc": ""})
    twice = admin.post(f"{INSTANCES}{instance.pk}/edges/add/", {"source": a.pk, "target": b.pk, "shared_pvc": ""})
    delete = f"{INSTANCES}{instance.pk}/edges/delete/?edge={edge_id}"
    asked = admin.get(delete)
    admin.post(delete)

    instance.refresh_from_db()
    assert (moved.status_code, again.status_code, twice.status_code, asked.status_code) == (302, 302, 200, 200)
    assert "exists already" in twice.content.decode()
    assert [(edge["source"], edge["target"], edge["shared_pvc"]) for edge in instance.edges] == [(a.pk, b.pk, None)]


def test_what_is_gone_already_is_deleted_without_a_fuss(admin: Client) -> None:
    instance = InstanceFactory()
    a, b = (NodeFactory(instance=instance, name=name) for name in "ab")
    admin.post(f"{INSTANCES}{instance.pk}/edges/add/", {"source": a.pk, "target": b.pk, "shared_pvc": ""})
    instance.refresh_from_db()
    edge_id = instance.edges[0]["edge_id"]
    pages = {
        f"{INSTANCES}{instance.pk}/edges/delete/?edge={edge_id}": (f"edge {edge_id}", "edges"),
        f"{INSTANCES}{instance.pk}/nodes/{b.pk}/delete/": (f"workflow node {b.pk}", "nodes"),
    }

    for page, (what, anchor) in pages.items():
        admin.post(page, follow=True)
        again = admin.post(page, follow=True)

        assert again.redirect_chain == [(f"{build_url(instance)}#{anchor}", 302)]
        assert said(again) == [f"{what} does not exist: there was nothing left to delete."]
        assert admin.get(page).status_code == 404
