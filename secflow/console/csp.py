"""What a browser may do with the answers of SecFlow: a strict Content-Security-Policy and its companions.

Scripts and styles come from files of this server only: no inline script, no inline event handler, no inline style, no
eval, no other host, no frame, no plug-in. Three pieces of the packages that SecFlow uses would need more, and how they do
without is told in `secflow/decisions/0013-content-security-policy.md`: Alpine's expressions (walked by
`static/console/expressions.js`), unfold's colours (`static/console/theme.css`), and the scripts of Swagger UI and Redoc
(files as well). What is left is on Redoc's page: the style elements that it makes carry a nonce that is new for each
answer, two of them a hash, and its search runs in a worker out of a blob.

Answers that are no pages (the API, health) get a policy that allows nothing at all.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

HEADER = "Content-Security-Policy"

_BASE = {
    "default-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "object-src": "'none'",
}
NOTHING = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}
PAGES = _BASE | {
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
}
# Of the style of the scrollbars in Redoc's bundle, which is put into the page before anybody can tell Redoc the nonce: the
# empty element, then its text.
REDOC_STYLES = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='",
)
# What no page of SecFlow has a use for.
PERMISSIONS = (
    "accelerometer",
    "camera",
    "display-capture",
    "geolocation",
    "gyroscope",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "usb",
)
PERMISSIONS_POLICY = ", ".join(f"{name}=()" for name in PERMISSIONS)


class ContentSecurityPolicyMiddleware:
    """Every answer carries a policy; Referrer-Policy, nosniff and COOP are Django's own (settings SECURE_...).

    A template that needs the nonce asks for `request.csp_nonce`; a policy without it allows none.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        nonce = secrets.token_urlsafe(16)
        request.csp_nonce = nonce  # type: ignore[attr-defined]
        response = self.get_response(request)
        if settings.DEBUG and response.status_code >= 400 and _is_page(response):
            return response  # Django's own pages about errors, which have inline styles and scripts
        response.headers.setdefault(HEADER, written(policy_of(request.path, response, nonce=nonce)))
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response


def policy_of(path: str, response: HttpResponseBase, *, nonce: str) -> Mapping[str, str]:
    """The directives for one answer."""
    if not _is_page(response):
        return NOTHING
    if path == "/api/redoc/":
        styles = " ".join(("'self'", f"'nonce-{nonce}'", *REDOC_STYLES))
        return PAGES | {"style-src": styles, "worker-src": "blob:"}
    return PAGES


def written(policy: Mapping[str, str]) -> str:
    """The directives as the header's text."""
    return "; ".join(f"{name} {sources}" for name, sources in policy.items())


def _is_page(response: HttpResponseBase) -> bool:
    return response.headers.get("Content-Type", "").startswith("text/html")
