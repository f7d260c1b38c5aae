"""Every surface and where it is mounted. Paths are exact: no slash is added or taken away anywhere (contract A.1)."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation

from secflow.console.signing_in import sign_in
from secflow.health import HealthView, ReadyView
from secflow.http.tokens import TokenBlacklistView, TokenPairView, TokenRefreshView, TokenVerifyView
from workflows.admin.feed import ConsoleEventsView

handler400 = "secflow.http.errors.bad_request"
handler403 = "secflow.http.errors.permission_denied"
handler404 = "secflow.http.errors.not_found"
handler500 = "secflow.http.errors.server_error"

urlpatterns = [
    path("api/workflow/health", HealthView.as_view()),
    path("api/workflow/ready", ReadyView.as_view()),
    path("livez", HealthView.as_view(schema=None)),
    path("readyz", ReadyView.as_view(schema=None)),
    path("api/workflow/", include("templates_app.api.urls")),
    path("api/workflow/", include("workflows.api.urls")),
    path("api/token/", TokenPairView.as_view()),
    path("api/token/refresh/", TokenRefreshView.as_view()),
    path("api/token/verify/", TokenVerifyView.as_view()),
    path("api/token/blacklist/", TokenBlacklistView.as_view()),
    path("api/schema/", SpectacularAPIView.as_view(content_negotiation_class=DefaultContentNegotiation), name="schema"),
    path(
        "api/docs/",
        SpectacularSwaggerSplitView.as_view(url_name="schema", template_name="secflow/swagger.html"),
        name="docs",
    ),
    path(
        "api/redoc/", SpectacularRedocView.as_view(url_name="schema", template_name="secflow/redoc.html"), name="redoc"
    ),
    path("admin/help/", include("secflow.console.help")),
    path("admin/overview", include("secflow.console.dashboard")),
    path("admin/events", ConsoleEventsView.as_view(schema=None), name="console-events"),
    path("admin/login/", sign_in),
    path("admin/", admin.site.urls),
]
