"""Routes of instances, nodes, triggers, logs and statistics, below /api/workflow/ (contract D.1, rows 11 to 35)."""

from __future__ import annotations

from django.urls import path

from workflows.api import views_actions as actions
from workflows.api import views_documents as documents
from workflows.api import views_events as events
from workflows.api import views_instances as instances
from workflows.api import views_nodes as nodes

_ONE = "workflow-instances/<str:instance_id>"

urlpatterns = [
    path("trigger/<str:instance_id>", actions.HttpTriggerView.as_view()),
    path("events", events.EventsView.as_view()),
    path("statistics", instances.StatisticsView.as_view()),
    path("documents", documents.DocumentsView.as_view()),
    path("documents/schema", documents.DocumentSchemaView.as_view()),
    path("workflow-instances", instances.InstanceListView.as_view()),
    # Fixed words come before ids. These are older spellings: served, but not in the document.
    path("workflow-instances/trigger/<str:instance_id>", actions.HttpTriggerView.as_view(schema=None)),
    path("workflow-instances/triggers/<str:instance_id>", actions.HttpTriggerView.as_view(schema=None)),
    path("workflow-instances/statistics", instances.StatisticsView.as_view(schema=None)),
    path(_ONE, instances.InstanceDetailView.as_view()),
    path(f"{_ONE}/initialize", actions.InitializeView.as_view()),
    path(f"{_ONE}/uninitialize", actions.UninitializeView.as_view()),
    path(f"{_ONE}/start", actions.StartView.as_view()),
    path(f"{_ONE}/stop", actions.StopView.as_view()),
    path(f"{_ONE}/sync-status", actions.SyncView.as_view()),
    path(f"{_ONE}/activate", actions.ActivateView.as_view()),
    path(f"{_ONE}/deactivate", actions.DeactivateView.as_view()),
    path(f"{_ONE}/trigger", actions.TriggerView.as_view()),
    path(f"{_ONE}/copy", documents.CopyView.as_view()),
    path(f"{_ONE}/document", documents.DocumentView.as_view()),
    path(f"{_ONE}/dry-run", documents.DryRunView.as_view()),
    path(f"{_ONE}/edges", instances.EdgesView.as_view()),
    path(f"{_ONE}/logs", nodes.LogRecordsView.as_view()),
    path(f"{_ONE}/nodes", nodes.NodeListView.as_view()),
    path(f"{_ONE}/nodes/<str:node_id>", nodes.NodeDetailView.as_view()),
    path(f"{_ONE}/nodes/<str:node_id>/logs", nodes.NodeLogsView.as_view()),
]
