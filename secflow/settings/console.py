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
    "BORDER_RADIUS": "6px",
    "DASHBOARD_CALLBACK": "secflow.console.dashboard.dashboard_context",
    "STYLES": ["secflow.console.navigation.stylesheet"],
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "secflow.console.navigation.sidebar",
    },
    "COLORS": {
        "primary": {
            "50": "oklch(97.1% .014 237)",
            "100": "oklch(94% .03 237)",
            "200": "oklch(89% .06 236)",
            "300": "oklch(81% .1 235)",
            "400": "oklch(72% .13 236)",
            "500": "oklch(63% .14 238)",
            "600": "oklch(54% .135 241)",
            "700": "oklch(46.5% .12 242)",
            "800": "oklch(40% .1 241)",
            "900": "oklch(34.5% .08 240)",
            "950": "oklch(26% .06 241)",
        },
    },
}
