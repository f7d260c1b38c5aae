"""Routes of templates, below /api/workflow/ (contract D.1, rows 1 to 10)."""

from __future__ import annotations

from django.urls import path

from templates_app.api.views import (
    AppTemplateDetailView,
    AppTemplateListView,
    JobTemplateDetailView,
    JobTemplateListView,
)
from templates_app.api.views_copy import AppTemplateCopyView, JobTemplateCopyView

urlpatterns = [
    path("app-templates", AppTemplateListView.as_view()),
    path("app-templates/<str:template_id>", AppTemplateDetailView.as_view()),
    path("app-templates/<str:template_id>/copy", AppTemplateCopyView.as_view()),
    path("job-templates", JobTemplateListView.as_view()),
    path("job-templates/<str:template_id>", JobTemplateDetailView.as_view()),
    path("job-templates/<str:template_id>/copy", JobTemplateCopyView.as_view()),
]
