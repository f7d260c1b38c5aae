"""Parts of a page that follow what happens: a view of their own gives them anew, and `console/live.js` asks for it.

The view costs no cluster call, gives nothing that the page does not give, and answers 304 when nothing has changed. With
the part it gives the buttons at the top of the page, so that what they offer is what the part below says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseNotModified
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import URLPattern, path, reverse


def script(request: HttpRequest) -> str:
    """The address of the script that keeps parts of pages up to date."""
    return static("console/live.js")


def stylesheet(request: HttpRequest) -> str:
    """The address of the rules for those parts."""
    return static("console/live.css")


@dataclass(frozen=True, slots=True)
class LivePart:
    """What a template needs, and what it depends on: two equal `facts` make the same HTML.

    `context` is called only where the HTML is wanted: who has it already costs no more than the reading.
    """

    facts: object
    context: Callable[[], dict[str, Any]]

    @property
    def version(self) -> str:
        """The entity tag of the HTML."""
        return entity_tag(self.facts)


def entity_tag(facts: object) -> str:
    """The same text for equal facts, as the header ETag has it."""
    return f'"{_digest(facts)}"'


def _digest(facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:24]


def answer(request: HttpRequest, version: str, html: Callable[[], str]) -> HttpResponse:
    """The HTML of a live part; 304 with no body for who has this version already, and `html` is not called then."""
    response: HttpResponse
    if version in request.headers.get("If-None-Match", ""):
        response = HttpResponseNotModified()
    else:
        response = HttpResponse(html())
    response["ETag"] = version
    return response


class LivePage:
    """Adds a live part above the fields of an object's page. Put it before the admin base.

    `live_template` shows what `live_part` read. The part is also at `<object>/live/`, for whoever may open the page.
    """

    live_template: str
    change_form_template = "console/live_page.html"
    change_form_outer_before_template = "console/live.html"
    opts: Any
    admin_site: Any

    def live_part(self, request: HttpRequest, obj: Any) -> LivePart:
        """Reads everything that the part shows, with a constant number of queries."""
        raise NotImplementedError

    def live_instance(self, obj: Any) -> str:
        """The instance whose events make the part old."""
        raise NotImplementedError

    def live_buttons(self, request: HttpRequest, obj: Any) -> Sequence[Any] | None:
        """The buttons at the top for the object as it is now, without a query. None: the page has none, whatever it shows."""
        return None

    def _whole_part(self, request: HttpRequest, obj: Any) -> LivePart:
        part, buttons = self.live_part(request, obj), self.live_buttons(request, obj)
        if buttons is None:
            return part
        shown = {"live_buttons": buttons, "live_buttons_version": _digest(buttons)}
        return LivePart((part.facts, buttons), lambda: part.context() | shown)

    def get_urls(self) -> list[URLPattern]:
        """The page's addresses, and that of its live part."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_live"
        view = self.admin_site.admin_view(self.live_view)
        return [path("<path:object_id>/live/", view, name=name), *super().get_urls()]  # type: ignore[misc]

    def live_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The HTML of the live part. 304 with no body for who has it already."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        obj = self.get_object(request, unquote(object_id))  # type: ignore[attr-defined]
        if not self.has_view_or_change_permission(request, obj):  # type: ignore[attr-defined]
            raise PermissionDenied
        if obj is None:
            raise Http404(f"there is no {self.opts.verbose_name} with the id {object_id}")
        part = self._whole_part(request, obj)

        def html() -> str:
            context = part.context() | {"live_template": self.live_template}
            return render_to_string("console/live_answer.html", context, request=request)

        return answer(request, part.version, html)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The page with its live part."""
        obj = kwargs.get("obj")
        if obj is not None:
            part = self._whole_part(request, obj)
            context |= part.context() | {
                "live_template": self.live_template,
                "live_version": part.version,
                "live_instance": self.live_instance(obj),
                "live_url": reverse(
                    f"admin:{self.opts.app_label}_{self.opts.model_name}_live", args=[quote(str(obj.pk))]
                ),
            }
            if "live_buttons" in context:
                context["actions_detail"] = ()  # unfold would show the same once more, and leave them as they are
        return super().render_change_form(request, context, *args, **kwargs)  # type: ignore[misc]
