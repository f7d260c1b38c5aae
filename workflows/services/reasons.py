"""Why a job failed: its object says that the limit of retries was reached, its pods say what they suffered from.

The two come by separate watches, so either may be first, and the second may never come: a watcher can die between them.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from k8s_bridge.diagnosis import Category, Diagnosis
from secflow.transactions import retried
from workflows.domain.statuses import NodeStatus
from workflows.locks import find_and_lock
from workflows.models import NodeRun
from workflows.services.diagnoses import as_data, sentence
from workflows.services.journal import SYSTEM, Entry, append
from workflows.services.statements import Statements, update_rows

_SAYS_LITTLE = frozenset({Category.BACKOFF_LIMIT, Category.EXIT_CODE})


def wants_reason(of_job: Diagnosis | None) -> bool:
    """Whether what the pod suffered from says more than the failed object does."""
    return of_job is None or of_job.category in _SAYS_LITTLE


def reasons(record: NodeRun, own: Diagnosis | None) -> tuple[str, dict[str, str] | None]:
    """Message and diagnosis of a node whose object failed with `own`. `record` has the last trouble that its pod told, if any."""
    if record.diagnosis and wants_reason(own):
        return _joined(None if own is None else own.summary, record.message), record.diagnosis
    if own is None:
        return "The job failed. Read its log to see why.", None
    return sentence(own), as_data(own)


def _joined(said: str | None, of_pod: str | None) -> str:
    return f"{said or 'The job failed.'} {of_pod or ''}".strip()


def failure_of(record: NodeRun) -> str:
    """What a run, and a workflow, say that failed because of this node."""
    return f"node {record.node_name} failed: {record.message or 'no reason was given'}"


@retried
def complete_reasons(instance_id: str, of_pods: Mapping[int, Diagnosis]) -> int:
    """Adds what its pod suffered from to each failure that only names the limit of retries, by the id of its record: there, and
    wherever its words are repeated (the node, the run and the workflow, unless they tell of a later run). Journal entries of kind
    `node.trouble` say so too. Returns how many there were to complete: none the second time.

    One transaction, and three round trips under the instance's lock however many records there are.
    """
    with transaction.atomic():
        instance = find_and_lock(instance_id)
        if instance is None:
            return 0
        records = list(
            NodeRun.objects.select_related("run")
            .defer("spec", "evidence")
            .filter(
                pk__in=of_pods, instance=instance, status=NodeStatus.FAILED, diagnosis__category=Category.BACKOFF_LIMIT
            )
            .order_by("pk")
        )
        writes, entries = Statements(), []
        for record in records:
            summary = record.diagnosis["summary"] if record.diagnosis else None
            old, old_failure = record.message, failure_of(record)
            record.diagnosis, record.message = (
                as_data(of_pods[record.pk]),
                _joined(summary, sentence(of_pods[record.pk])),
            )
            changes = {"diagnosis": record.diagnosis, "message": record.message, "updated_at": instance.locked_at}
            update_rows(writes, NodeRun, [record.pk], changes)
            words = {"old": old, "new": record.message, "old_failure": old_failure, "new_failure": failure_of(record)}
            place = {"record": record.pk, "node": record.node_id, "run": record.run_id, "instance": instance_id}
            for text in (_OF_NODE, _OF_RUN, _OF_INSTANCE):
                writes.add(text, words | place)
            data = {"diagnosis": record.diagnosis}
            entries.append(Entry("node.trouble", SYSTEM, record.message, record.node_id, record.run.number, data))
        append(instance, *entries, writes=writes)
        writes.send()
        return len(records)


_OF_NODE = """
UPDATE secflow_platform_workflow_workflow_node_instance SET message = %(new)s
 WHERE id = %(node)s AND message = %(old)s
   AND NOT EXISTS (SELECT 1 FROM secflow_platform_workflow_node_run
                    WHERE instance_id = %(instance)s AND node_id = %(node)s AND id > %(record)s)
"""
_OF_RUN = """
UPDATE secflow_platform_workflow_run SET message = %(new_failure)s WHERE id = %(run)s AND message = %(old_failure)s
"""
_OF_INSTANCE = """
UPDATE secflow_platform_workflow_workflow_instance SET message = %(new_failure)s
 WHERE id = %(instance)s AND message = %(old_failure)s
   AND NOT EXISTS (SELECT 1 FROM secflow_platform_workflow_run WHERE instance_id = %(instance)s AND id > %(run)s)
"""
