"""The life-cycle verbs and the triggers (contract D.1 rows 16 to 22, 30, 33): one service each, then what is true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from secflow.http.openapi import MessageOutput, documented, query_parameter
from secflow.http.serializers import read_body
from secflow.http.views import PublicView
from workflows.api import examples
from workflows.api.base import INSTANCE_ID, InstanceView, key_of
from workflows.api.parameters import DIALECT, IDEMPOTENCY_KEY, TRIGGER_TOKEN
from workflows.api.schemas import InstanceOutput
from workflows.domain.actors import Right
from workflows.services import lifecycle, syncing, triggers
from workflows.services.bodies import InitializeInput

TAG = "Actions"
Post = Callable[..., Response]


def _action(
    summary: str, description: str, *, name: str, errors: tuple[int, ...], has_key: bool = False, **kwargs: Any
) -> Callable[[Post], Post]:
    return documented(
        summary,
        description,
        tag=TAG,
        operation_id=f"{name}_instance",
        answer=InstanceOutput,
        errors=(400, 403, 404, *errors),
        example=examples.INSTANCE,
        parameters=[INSTANCE_ID, DIALECT, *([IDEMPOTENCY_KEY] if has_key else [])],
        **kwargs,
    )


class InitializeView(InstanceView):
    @_action(
        "Set up the app nodes",
        "Makes Deployments and Services. With `force` also in `initialized` and `stopped`: what is there is removed"
        " first. Waits a bounded time; the answer may still say `initializing`.",
        name="initialize",
        errors=(409,),
        request=InitializeInput,
        request_example={"force": False},
    )
    def post(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id, Right.OPERATE)
        body = read_body(request, InitializeInput)
        lifecycle.initialize_instance(instance_id=instance_id, actor=self.actor, force=body["force"])
        return self.answer(instance_id)


class UninitializeView(InstanceView):
    @_action(
        "Remove everything from the cluster",
        "Deletes all cluster objects and makes the instance an editable draft again. Counters and configuration stay.",
        name="uninitialize",
        errors=(409,),
    )
    def post(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id, Right.OPERATE)
        lifecycle.uninitialize_instance(instance_id=instance_id, actor=self.actor)
        return self.answer(instance_id)


class StartView(InstanceView):
    @_action(
        "Start a run",
        "Accepts a run; nodes start as their upstream nodes succeed. Missing app objects are made during the run.",
        name="start",
        errors=(409,),
        has_key=True,
    )
    def post(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id, Right.OPERATE)
        lifecycle.start_instance(instance_id=instance_id, actor=self.actor, key=key_of(request))
        return self.answer(instance_id)


class StopView(InstanceView):
    @_action(
        "Stop",
        "Ends the run and deletes all cluster objects; every node becomes `stopped`. To edit the graph, uninitialize.",
        name="stop",
        errors=(409,),
    )
    def post(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id, Right.OPERATE)
        lifecycle.stop_instance(instance_id=instance_id, actor=self.actor)
        return self.answer(instance_id)


class SyncView(InstanceView):
    @_action(
        "Compare with the cluster",
        "Reads the cluster and updates node statuses; differences set `has_warning` and `message`. Starts nothing"
        " unless a run is in progress.",
        name="sync",
        errors=(),
    )
    def post(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id, Right.OPERATE)
        syncing.sync_instance(instance_id=instance_id, actor=self.actor)
        return self.answer(instance_id)


class ActivateView(InstanceView):
    @_action(
        "Accept triggers",
        "Persistent instances only, once they have been initialized.",
        name="activate",
        errors=(409,),
    )
    def post(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id, Right.OPERATE)
        lifecycle.activate_instance(instance_id=instance_id, actor=self.actor)
        return self.answer(instance_id)


class DeactivateView(InstanceView):
    @_action(
        "Refuse triggers",
        "Persistent instances only. A run in progress is not stopped.",
        name="deactivate",
        errors=(409,),
    )
    def post(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id, Right.OPERATE)
        lifecycle.deactivate_instance(instance_id=instance_id, actor=self.actor)
        return self.answer(instance_id)


class TriggerView(InstanceView):
    @documented(
        "Trigger a run from the UI",
        "Accepts a further run, in both run modes and whatever the trigger type; a persistent instance must be active.",
        tag=TAG,
        operation_id="trigger_instance",
        answer=MessageOutput,
        errors=(400, 403, 404, 409),
        example=examples.TRIGGERED,
        parameters=[INSTANCE_ID, IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id, Right.OPERATE)
        triggers.trigger_instance(instance_id=instance_id, actor=self.actor, key=key_of(request))
        return _triggered(instance_id)


class HttpTriggerView(PublicView):
    @documented(
        "Trigger a run by HTTP",
        "The public trigger of a persistent instance with trigger type `http`, enabled and active. A body is ignored."
        " Where the operator demands secrets, send the instance's as `X-Trigger-Token` or `token`; otherwise 401.",
        tag=TAG,
        operation_id="fire_http_trigger",
        answer=MessageOutput,
        errors=(400, 401, 404, 409, 429),
        public=True,
        example=examples.TRIGGERED,
        parameters=[
            INSTANCE_ID,
            TRIGGER_TOKEN,
            IDEMPOTENCY_KEY,
            query_parameter("token", "The trigger secret, for callers that cannot set headers."),
        ],
    )
    def post(self, request: Request, instance_id: str) -> Response:
        secret = request.headers.get("X-Trigger-Token") or request.query_params.get("token") or None
        triggers.fire_http_trigger(instance_id=instance_id, secret=secret, key=key_of(request))
        return _triggered(instance_id)


def _triggered(instance_id: str) -> Response:
    return Response({"message": f"Workflow {instance_id} triggered successfully"})
