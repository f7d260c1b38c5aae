"""Why a job failed: its object says that the limit of retries was reached, its pods say what they suffered from.

The two come by separate watches, so either may be first, and the second may never come: a watcher can die between them.
"""

from __future__ import annotations

from django.db import transaction

from k8s_bridge.diagnosis import Category, Diagnosis
from secflow.transactions import retried
from workflows.domain.statuses import NodeStatus
from workflows.locks import find_and_lock
from workflows.models import NodeRun, Run, WorkflowInstance, WorkflowNode
from workflows.services.diagnoses import as_data, sentence
from workflows.services.journal import SYSTEM, Entry, append

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
def complete_reason(instance_id: str, node_run_id: int, of_pod: Diagnosis) -> bool:
    """Adds what the pod suffered from to a failure that only names the limit of retries: to the record, and to whatever repeats its
    words (the node, the run and the workflow, unless they tell of something else by now). A journal entry of kind `node.trouble`
    says so too. Returns whether there was anything to add; once there is not.
    """
    with transaction.atomic():
        instance = find_and_lock(instance_id)
        record = (
            NodeRun.objects.select_related("run")
            .defer("spec", "evidence")
            .filter(pk=node_run_id, status=NodeStatus.FAILED, diagnosis__category=Category.BACKOFF_LIMIT)
            .first()
        )
        if instance is None or record is None or record.diagnosis is None:
            return False
        words, failure = record.message, failure_of(record)
        record.diagnosis, summary = as_data(of_pod), record.diagnosis["summary"]
        record.message = _joined(summary, sentence(of_pod))
        record.updated_at = instance.locked_at
        record.save(update_fields=["diagnosis", "message", "updated_at"])
        WorkflowNode.objects.filter(pk=record.node_id, message=words).update(message=record.message)
        Run.objects.filter(pk=record.run_id, message=failure).update(message=failure_of(record))
        WorkflowInstance.objects.filter(pk=instance_id, message=failure).update(message=failure_of(record))
        data = {"diagnosis": record.diagnosis}
        append(instance, Entry("node.trouble", SYSTEM, record.message, record.node_id, record.run.number, data))
        return True
