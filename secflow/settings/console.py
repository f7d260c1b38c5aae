"""The look of the admin pages (django-unfold). Callables are named, so that nothing is imported here."""

from __future__ import annotations

from typing import Any

FORMAT_MODULE_PATH = ["secflow.console.formats"]

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "SecFlow",
    "SITE_HEADER": "SecFlow",
    "SITE_SUBHEADER": "Workflows on Kubernetes",
    "SITE_SYMBOL": "account_tree",
    "SITE_URL": "/api/docs/",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "secflow.console.navigation.favicon"}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "LOGIN": {"form": "secflow.console.signing_in.SignInForm"},
    "DASHBOARD_CALLBACK": "secflow.console.dashboard.dashboard_context",
    "STYLES": [
        "secflow.console.navigation.theme",
        "secflow.console.navigation.stylesheet",
        "secflow.console.live.stylesheet",
    ],
    "SCRIPTS": ["secflow.console.navigation.expressions", "secflow.console.live.script"],
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "secflow.console.navigation.sidebar",
    },
    # The colours are in static/console/theme.css: unfold would write them into each page as an inline style.
    "COLORS": "secflow.console.navigation.no_colors",
}
