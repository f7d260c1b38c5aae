"""The console's page for signing in: guessing passwords is as slow here as at the API."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import HttpRequest, HttpResponse
from unfold.forms import AuthenticationForm

from secflow.http.attempts import FailureLimit

_LIMITED = "rate_limited"


class SignInForm(AuthenticationForm):
    """Name and password of staff. After too many failures no password is looked at, not even the right one."""

    def clean(self) -> dict[str, Any]:
        limit = FailureLimit(self.request, self.cleaned_data.get("username") or "")
        self.seconds_to_wait = limit.seconds_to_wait()
        if self.seconds_to_wait:
            sentence = f"Too many failed sign-ins. Try again in {self.seconds_to_wait} seconds."
            raise ValidationError(sentence, code=_LIMITED)
        try:
            return super().clean()
        except ValidationError:
            limit.note_failure()
            raise


def sign_in(request: HttpRequest) -> HttpResponse:
    """The admin site's own page; 429 with `Retry-After` when there were too many failures."""
    response = admin.site.login(request)
    form = (getattr(response, "context_data", None) or {}).get("form")
    if isinstance(form, SignInForm) and form.has_error(NON_FIELD_ERRORS, _LIMITED):
        response.status_code = 429
        response["Retry-After"] = str(form.seconds_to_wait)
    return response
