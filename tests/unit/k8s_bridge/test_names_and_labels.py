from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_bridge import names
from k8s_bridge.localcluster.selectors import label_predicate
from k8s_bridge.specs import Owner

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
label_values = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", fullmatch=True)
owners = st.builds(
    Owner,
    label_values,
    label_values,
    label_values,
    label_values,
    run=st.integers(0, 10**12),
    attempt=st.integers(0, 10**12),
)
suffixes = st.from_regex(r"[a-z0-9]{8}", fullmatch=True)
loose_names = st.lists(
    st.one_of(
        st.text(max_size=80),
        st.sampled_from(["web", "Web", "WEB", "we b", "web-2", "", "-", "1", "a" * 63, "a" * 64, "数据"]),
    ),
    max_size=8,
)


@given(owners)
def test_labels_lead_back_to_their_owner(owner: Owner) -> None:
    found = names.owner_of({"metadata": {"labels": {"app": "x", **names.labels(owner)}}})

    assert found == owner


@given(owners, st.sampled_from(sorted(names.labels(Owner("i", "p", "n", "m", 1, 1)).keys() - {names.SHARD})))
def test_an_object_without_one_owner_label_is_not_ours(owner: Owner, missing: str) -> None:
    labels = names.labels(owner)
    del labels[missing]

    assert names.owner_of({"metadata": {"labels": labels}}) is None


@given(owners)
def test_an_object_of_a_release_without_shards_is_ours(owner: Owner) -> None:
    labels = names.labels(owner)
    del labels[names.SHARD]

    assert names.owner_of({"metadata": {"labels": labels}}) == owner


def finds(selector: str, labels: dict[str, str]) -> bool:
    """What a cluster says of the selector."""
    test = label_predicate(selector)
    return test is None or test({"metadata": {"labels": labels}})


def test_an_instance_stays_in_its_shard() -> None:
    # Objects in clusters carry these numbers.
    found = [names.shard_of(f"wf-inst-nightly-{suffix}") for suffix in ("x81m44zt", "7h2k9q0d", "00000000")]
    assert found == [9, 12, 4]
    assert {names.shard_of(f"wf-inst-{number}") for number in range(1000)} == set(range(names.SHARDS))


# Who holds which shard.
holdings = st.lists(st.sampled_from("abcde"), min_size=names.SHARDS, max_size=names.SHARDS)


@given(holdings, st.integers(0, names.SHARDS - 1))
def test_an_object_is_found_by_the_holder_of_its_shard_alone(holding: list[str], shard: int) -> None:
    assert finders(holding, str(shard)) == [holding[shard]]


@given(holdings, st.sampled_from([None, str(names.SHARDS), "x"]))
def test_an_object_of_no_known_shard_is_found_by_the_holder_of_the_first(holding: list[str], shard: str | None) -> None:
    assert finders(holding, shard) == [holding[0]]


def finders(holding: list[str], shard: str | None) -> list[str]:
    """The holders whose selector finds an object with this label."""
    labels = names.labels(Owner("i", "p", "n", "m", 1, 1))
    del labels[names.SHARD]
    labels |= {names.SHARD: shard} if shard is not None else {}
    held = {who: [number for number, holder in enumerate(holding) if holder == who] for who in holding}
    return [who for who, shards in held.items() if finds(names.shard_selector("i", shards), labels)]


@pytest.mark.parametrize(
    "labels",
    [
        None,
        {},
        {"managed-by": "helm"},
        {**names.labels(Owner("i", "p", "n", "m", 1, 1)), "managed-by": "other"},
        {**names.labels(Owner("i", "p", "n", "m", 1, 1)), "secflow.io/attempt": "one"},
        {**names.labels(Owner("i", "p", "n", "m", 1, 1)), "secflow.io/run": "-1"},
    ],
)
def test_foreign_labels_name_no_owner(labels: dict[str, str] | None) -> None:
    assert names.owner_of({"metadata": {"labels": labels}}) is None


def test_an_id_that_is_no_label_value_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be the label"):
        names.labels(Owner("i", "p", "a b", "m", 1, 1))


@given(suffixes, suffixes)
def test_object_names_are_valid_and_found_from_the_suffixes(instance: str, node: str) -> None:
    assert names.workload_name(instance, node) == f"wf-{instance}-{node}"
    assert names.service_name(instance, node) == f"svc-wf-{instance}-{node}"
    assert names.is_service_name(names.service_name(instance, node))


@pytest.mark.parametrize("suffix", ["", "a-", "A", "a b", "x" * 60, "é", "a\n"])
def test_suffixes_that_make_no_name_are_refused(suffix: str) -> None:
    with pytest.raises(ValueError, match="not a valid object name"):
        names.workload_name("x81m44zt", suffix)


@pytest.mark.parametrize("project_id", ["p1", "1", "a" * 55, "a-b"])
def test_a_project_has_its_namespace(project_id: str) -> None:
    assert names.namespace_of(project_id) == f"secflow-{project_id}"


@pytest.mark.parametrize("project_id", ["", "P1", "a_b", "-a", "a-", "a" * 56, "a/b", "a.b", "a\n"])
def test_a_project_id_that_fits_no_namespace_is_refused(project_id: str) -> None:
    with pytest.raises(ValueError, match="cannot name a namespace"):
        names.namespace_of(project_id)


@given(loose_names)
def test_container_names_are_valid_and_differ(wanted: list[str]) -> None:
    made = names.container_names(wanted)

    assert len(set(made)) == len(wanted)
    assert all(DNS_LABEL.fullmatch(name) for name in made)


@given(loose_names)
def test_a_valid_container_name_is_kept(wanted: list[str]) -> None:
    distinct = list(dict.fromkeys(wanted))

    made = names.container_names(distinct)

    kept = [(before, after) for before, after in zip(distinct, made, strict=True) if names.is_dns_label(before)]
    assert all(before == after for before, after in kept)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["web"], ("web",)),
        (["Main App", "main-app"], ("main-app-2", "main-app")),
        (["数据", "ü"], ("container", "container-2")),
        (["web", "web", "web-2"], ("web", "web-3", "web-2")),
        (["A" * 64, "a" * 63], ("a" * 61 + "-2", "a" * 63)),
    ],
)
def test_container_names_are_stable(wanted: list[str], expected: tuple[str, ...]) -> None:
    assert names.container_names(wanted) == expected


@given(loose_names)
def test_port_names_of_a_container_are_valid_and_differ(wanted: list[str]) -> None:
    made = names.container_port_names(wanted)

    assert len(set(made)) == len(wanted)
    assert all(PORT_NAME.fullmatch(name) for name in made)


@given(loose_names)
def test_port_names_of_a_service_are_valid_and_differ(wanted: list[str]) -> None:
    made = names.service_port_names(wanted)

    assert len(set(made)) == len(wanted)
    assert all(DNS_LABEL.fullmatch(name) for name in made)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["http"], ("http",)),
        (["a-very-long-port-name", "a-very-long-portal"], ("a-very-long-por", "a-very-long-p-2")),
        (["8080"], ("port-8080",)),
        (["HTTP"], ("http",)),
    ],
)
def test_port_names_are_cut_to_fifteen(wanted: list[str], expected: tuple[str, ...]) -> None:
    assert names.container_port_names(wanted) == expected


def test_selectors_ask_for_every_label() -> None:
    assert names.installation_selector("i") == "managed-by=secflow-workflow,secflow.io/installation=i"
    assert names.instance_selector("i", "n") == (
        "managed-by=secflow-workflow,secflow.io/installation=i,secflow.io/instance-id=n"
    )
    assert names.workload_selector("i", "wf-a-b") == (
        "app=wf-a-b,managed-by=secflow-workflow,secflow.io/installation=i"
    )


@pytest.mark.parametrize("value", ["", "a,b", "a=b", "a b", "!a", "(a)"])
def test_a_selector_cannot_be_widened_by_a_value(value: str) -> None:
    with pytest.raises(ValueError, match="cannot be looked up"):
        names.instance_selector("i", value)
