from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from k8s_bridge.ensuring import Verdict, judge
from k8s_bridge.manifests import job_manifest
from k8s_bridge.specs import Owner, WorkloadSpec

OWNER = Owner("inst-a", "p1", "wf-inst-nightly-x81m44zt", "wf-node-crawl-7h2k9q0d", run=2, attempt=7)


@pytest.mark.parametrize(
    ("holder", "backoff_limit", "going", "expected"),
    [
        (OWNER, 3, False, Verdict.ADOPT),
        (OWNER, 3, True, Verdict.AWAIT),
        (OWNER, 4, False, Verdict.REPLACE),
        (replace(OWNER, attempt=6), 3, False, Verdict.REPLACE),
        (replace(OWNER, attempt=6, run=1), 3, False, Verdict.REPLACE),
        (replace(OWNER, attempt=6), 3, True, Verdict.AWAIT),
        (replace(OWNER, attempt=8), 3, False, Verdict.NEWER),
        (replace(OWNER, attempt=8), 3, True, Verdict.NEWER),
        (replace(OWNER, project_id="p2"), 3, False, Verdict.REPLACE),
        (replace(OWNER, installation="inst-b"), 3, False, Verdict.FOREIGN),
        (replace(OWNER, instance_id="wf-inst-other-x81m44zz"), 3, False, Verdict.FOREIGN),
        (replace(OWNER, node_id="wf-node-other-7h2k9q0z"), 3, False, Verdict.FOREIGN),
        (replace(OWNER, node_id="wf-node-other-7h2k9q0z", attempt=9), 3, True, Verdict.FOREIGN),
    ],
)
def test_the_holder_of_a_name_decides(
    job: WorkloadSpec, holder: Owner, backoff_limit: int, going: bool, expected: Verdict
) -> None:
    found = job_manifest(replace(job, backoff_limit=backoff_limit), holder)
    if going:
        found["metadata"]["deletionTimestamp"] = "2026-03-01T09:00:00Z"

    assert judge(found, job_manifest(job, OWNER), OWNER) is expected


@pytest.mark.parametrize("labels", [None, {}, {"app": "wf-x81m44zt-7h2k9q0d", "managed-by": "secflow-workflow"}])
def test_an_object_without_our_labels_is_foreign(job: WorkloadSpec, labels: dict[str, str] | None) -> None:
    found: dict[str, Any] = {"metadata": {"name": job.name, "labels": labels}}

    assert judge(found, job_manifest(job, OWNER), OWNER) is Verdict.FOREIGN


def test_an_object_whose_hash_was_removed_is_replaced(job: WorkloadSpec) -> None:
    found = job_manifest(job, OWNER)
    found["metadata"]["annotations"] = None

    assert judge(found, job_manifest(job, OWNER), OWNER) is Verdict.REPLACE
