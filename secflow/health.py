"""Health routes for probes and dashboards (contract J)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from secflow.http.openapi import documented
from secflow.http.views import PublicView
from workflows.services.health import OK, readiness

SERVICE = "secflow-workflow-service"
_NOT_READY = {"status": "not_ready", "checks": {"database": "ok", "queue": "ok", "cluster": "not usable"}}


class HealthOutput(serializers.Serializer[Any]):
    """The process is alive."""

    status = serializers.ChoiceField(choices=["ok"])
    service = serializers.CharField()


class ReadyOutput(serializers.Serializer[Any]):
    """Everything it needs can be used."""

    status = serializers.ChoiceField(choices=["ready"])


class NotReadyOutput(serializers.Serializer[Any]):
    """What cannot be used."""

    status = serializers.ChoiceField(choices=["not_ready"])
    checks = serializers.DictField(child=serializers.CharField())


class HealthView(PublicView):
    @documented(
        "Is it alive",
        "Answers as long as the process runs; looks at nothing outside.",
        tag="Health",
        operation_id="read_health",
        answer=HealthOutput,
        public=True,
        example={"status": "ok", "service": SERVICE},
    )
    def get(self, request: Request) -> Response:
        return Response({"status": "ok", "service": SERVICE})


class ReadyView(PublicView):
    @documented(
        "Can it work",
        "200 when database, queue and cluster can be used, else 503 with what cannot. Answers are kept two seconds.",
        tag="Health",
        operation_id="read_ready",
        answer=ReadyOutput,
        public=True,
        example={"status": "ready"},
        answers={
            503: OpenApiResponse(
                NotReadyOutput,
                description="Something it needs cannot be used.",
                examples=[OpenApiExample("Not ready", value=_NOT_READY, status_codes=["503"])],
            )
        },
    )
    def get(self, request: Request) -> Response:
        checks = readiness()
        if all(answer == OK for answer in checks.values()):
            return Response({"status": "ready"})
        return Response({"status": "not_ready", "checks": checks}, status=503)
