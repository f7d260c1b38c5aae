"""Pages with one form: shown, checked unsaved for a script, or written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, QueryDict
from django.template.response import TemplateResponse

from secflow.console.bodies.body import Body
from secflow.console.bodies.writing import WritingBody
from workflows.domain.errors import Forbidden, NotFound

CHECK = "_check"


class FormPages:
    """For admin classes with pages of their own."""

    admin_site: Any
    opts: Any

    def form_page(
        self,
        request: HttpRequest,
        body_of: Callable[[QueryDict | None], WritingBody],
        done: Callable[[Any], str],
        context: dict[str, Any] | Callable[[], dict[str, Any]],
        *,
        template: str = "console/form.html",
    ) -> HttpResponse:
        """Shows a form; with `?_check=1` says what would be refused and writes nothing; else writes it and goes where `done`
        says.

        `body_of` gets what was sent; it is then called inside the transaction that writes, so it can lock what it reads.
        """
        stale: Body | None = None
        body: Body
        try:
            if request.method != "POST":
                body = body_of(None)
            elif CHECK in request.GET:
                with transaction.atomic():
                    asked = body_of(request.POST)
                    asked.try_out()
                return JsonResponse({"problems": asked.problems()})
            else:
                with transaction.atomic():
                    body = sent = body_of(request.POST)
                    written = None
                    if sent.is_stale:
                        stale, body = sent, sent.refreshed()
                    elif not sent.only_edits_rows:
                        written = sent.apply()
                if written is not None:
                    return HttpResponseRedirect(done(written))
        except NotFound as err:
            raise Http404(err.message) from err
        except Forbidden as err:
            raise PermissionDenied(err.message) from err
        shown = context() if callable(context) else context
        query = request.GET.copy()
        query[CHECK] = "1"
        check_url = "" if body.is_disabled else f"{request.path}?{query.urlencode()}"
        return self.own_page(request, template, {**shown, "body": body, "stale": stale, "check_url": check_url})

    def own_page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        """A page with the console's frame around it."""
        request.current_app = self.admin_site.name
        shared = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, template, shared | context)
