"""Diagnoses in the words of Kubernetes 1.34, of refused pods, and of limits that passed."""

from __future__ import annotations

import pytest

from k8s_bridge.diagnosis import Category, diagnose_events, diagnose_pod, over_time
from k8s_bridge.results import WarningEvent
from tests.unit.k8s_bridge.test_diagnosis import Json, ended, pod, unscheduled, waiting


def test_a_pod_that_is_refused_again_and_again_has_one_explanation() -> None:
    words = "is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"
    first, second = (
        diagnose_events(
            [WarningEvent("Job", "wf-a", "FailedCreate", f'Error creating: pods "wf-a-{end}" {words}', 1, None)]
        )
        for end in ("x7k2p", "b4n9q")
    )

    assert first is not None
    assert first == second
    assert (first.category, first.detail) == (Category.ADMISSION, f'pods "wf-a-*" {words}')


def test_a_limit_that_passed_names_the_trouble_that_was_seen() -> None:
    trouble = diagnose_pod(pod(waiting("ErrImagePull", "rpc error: not found")))
    assert trouble is not None

    found = over_time("pull limit: no image within 9 s", doing="It waited.", trouble=trouble)

    assert found.category == Category.IMAGE_PULL
    assert found.summary == "pull limit: no image within 9 s. Container web: the image reg.io/a:1 cannot be pulled."
    assert (found.detail, found.resolution) == (trouble.detail, trouble.resolution)


def test_a_limit_that_passed_without_any_trouble_says_what_the_pod_was_doing() -> None:
    found = over_time("timeout: not finished within 9 s", doing="Its pod was running.")

    assert (found.category, found.detail) == (Category.TIMEOUT, "")
    assert found.summary == "timeout: not finished within 9 s. Its pod was running."
    assert found.resolution == "Read its log, or give the node more time."


# The words of Kubernetes 1.34 where older releases, or the local cluster, have others.
@pytest.mark.parametrize(
    ("found", "category", "words"),
    [
        (
            pod(
                waiting(
                    "ErrImagePull",
                    'failed to pull and unpack image "docker.io/library/none:1": failed to resolve reference'
                    ' "docker.io/library/none:1": dial tcp: lookup registry-1.docker.io: no such host',
                )
            ),
            Category.IMAGE_PULL,
            "no such host",
        ),
        (
            pod(waiting("ErrImageNeverPull", "Container image is not present with pull policy of Never")),
            Category.IMAGE_PULL,
            "Never",
        ),
        (
            pod(
                waiting(
                    "InvalidImageName",
                    'Failed to apply default image tag "Team/Tool:1": couldn\'t parse image name "Team/Tool:1": invalid'
                    " reference format: repository name (Team/Tool) must be lowercase",
                )
            ),
            Category.INVALID_IMAGE,
            "must be lowercase",
        ),
        (
            pod(
                waiting(
                    "CrashLoopBackOff",
                    "back-off 10s restarting failed container=web pod=p_ns(1)",
                    last={"exitCode": 4, "reason": "Error", "message": "no configuration"},
                ),
                phase="Running",
            ),
            Category.CRASH_LOOP,
            "no configuration",
        ),
        (
            pod(
                ended(137, "Error"),
                phase="Failed",
                reason="Evicted",
                message="Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
                conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}],
            ),
            Category.EVICTED,
            "ephemeral local storage",
        ),
        (
            pod(
                phase="Running",
                conditions=[
                    {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "EvictionByEvictionAPI",
                        "message": "Eviction API: evicting",
                    }
                ],
            ),
            Category.EVICTED,
            "Eviction API: evicting",
        ),
        (
            pod(
                phase="Failed", reason="Terminated", message="Pod was terminated in response to imminent node shutdown."
            ),
            Category.NODE_LOST,
            "imminent node shutdown",
        ),
        (
            unscheduled(
                "0/21 nodes are available: 1 Insufficient cpu, 20 node(s) had untolerated taint(s). no new claims to"
                " deallocate, preemption: 0/21 nodes are available: 1 No preemption victims found for incoming pod, 20"
                " Preemption is not helpful for scheduling."
            ),
            Category.UNSCHEDULABLE,
            "Insufficient cpu",
        ),
        (
            unscheduled('0/21 nodes are available: persistentvolumeclaim "data" not found. not found'),
            Category.MISSING_CLAIM,
            '"data" not found',
        ),
    ],
)
def test_the_words_of_a_present_cluster_are_understood(found: Json, category: Category, words: str) -> None:
    diagnosis = diagnose_pod(found)

    assert diagnosis is not None
    assert diagnosis.category == category
    assert words in diagnosis.detail
    assert diagnosis.summary
    assert diagnosis.resolution.endswith(".")
