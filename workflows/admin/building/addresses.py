"""Addresses of the pages on which workflows are built."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib.admin.utils import quote
from django.urls import reverse

PREFIX = "workflows_workflowinstance"


def page_url(page: str, *args: str, **query: str) -> str:
    """The address of one of the pages."""
    url = reverse(f"admin:{PREFIX}_{page}", args=[quote(arg) for arg in args])
    return f"{url}?{urlencode(query)}" if query else url
