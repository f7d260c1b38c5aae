"""Settings of Django REST framework, drf-spectacular and simplejwt."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["secflow.http.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["secflow.http.rendering.PlainJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["secflow.http.parsing.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "secflow.http.rendering.AlwaysJSON",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "secflow.http.errors.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "SecFlow",
    "DESCRIPTION": (
        "Workflows of long-running apps and one-shot jobs on Kubernetes, described by reusable templates.\n\n"
        "Every error answers with `code`, `message` and `details`. Times are UTC without an offset. Unknown fields of "
        "a body are ignored, and an empty text in an optional field means that it is not given."
    ),
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.0",
    "LICENSE": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": r"/api/(workflow/)?",
    "COMPONENT_SPLIT_REQUEST": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "secflow.http.openapi.allow_overlaps",
    ],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    # One name for the words that several answers share; the generator would number them.
    "ENUM_NAME_OVERRIDES": {
        "NodeStatusEnum": ["pending", "running", "succeeded", "failed", "stopped"],
        "NodeTypeEnum": ["app", "job"],
        "ActionEnum": ["add", "update", "delete"],
        "FileActionEnum": ["created", "updated", "unchanged"],
        "FileKindEnum": ["Workflow"],
        "AppKindEnum": ["app"],
        "JobKindEnum": ["job"],
        "ManifestKindEnum": ["Deployment", "Job", "Service"],
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": True, "displayRequestDuration": True},
    "TAGS": [
        {"name": "Templates", "description": "Reusable descriptions of apps and jobs."},
        {"name": "Instances", "description": "Workflows and their life cycle."},
        {"name": "Nodes", "description": "The parts of a workflow."},
        {"name": "Edges", "description": "The order between nodes."},
        {"name": "Triggers", "description": "Runs asked for by other systems or by people."},
        {"name": "Logs", "description": "What the pods wrote."},
        {"name": "Events", "description": "What happened, as it happens."},
        {"name": "Workflow files", "description": "A whole workflow as one file: check, apply, export."},
        {"name": "Statistics", "description": "Counts."},
        {"name": "Tokens", "description": "Signing in."},
        {"name": "Health", "description": "For probes and dashboards."},
    ],
}
SIMPLE_JWT: dict[str, Any] = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=30),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=1),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "UPDATE_LAST_LOGIN": False,
    # A change of password ends every token issued before it.
    "CHECK_REVOKE_TOKEN": True,
}
