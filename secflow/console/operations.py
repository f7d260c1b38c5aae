"""Operations: what may be done to rows by calling a service, as list actions and as buttons on a page.

A page never writes a row itself. A refusal of the service becomes a message with the service's own sentence. Buttons
are links, so they open a confirmation page; nothing happens before its form is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant

from secflow.console.bulk import BulkPages, propose, start
from secflow.console.roles import actor_of
from workflows.domain.actors import Actor, Right
from workflows.domain.errors import DomainError, Kind

BATCH = 100  # rows that are done at once, without a page that shows how far it is
BUDGET_SECONDS = 5.0  # some services wait for the cluster: what does not fit into one request goes on as a bulk
_CONFIRMED = "confirmed"
_MESSAGES_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Operation:
    """One verb. `call` is the service; it gets the row and the actor and raises DomainError to refuse.

    `done` completes "<name>: ...", `effect` says on the confirmation page what will happen. `is_allowed` only decides
    what is offered; the service decides what is done. `right` is the model permission that it takes: operate, force,
    change or delete.
    """

    name: str
    title: str
    done: str
    effect: str
    call: Callable[[Any, Actor], object]
    icon: str
    variant: ActionVariant = ActionVariant.DEFAULT
    is_destructive: bool = False
    is_allowed: Callable[[Any], bool] = lambda row: True
    right: str = "change"


def _button(operation: Operation) -> Any:
    def press(self: OperationsMixin, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.operate_on_one(request, object_id, operation)

    press.__name__ = f"{operation.name}_button"
    return action(
        press,
        description=operation.title,
        url_path=operation.name.replace("_", "-"),
        permissions=[f"do_{operation.right}"],
        icon=operation.icon,
        variant=operation.variant,
    )


class OperationsMixin(BulkPages):
    """Adds `operations` to an admin class. Put it before the admin base.

    Whatever is more than fits into one request goes on as a bulk (`secflow.console.bulk`).
    The button of operation `x` is called `x_button` and may be arranged by `actions_detail`.
    """

    operations: Sequence[Operation] = ()
    actions_detail: Sequence[Any] = ()
    model: type[Model]
    admin_site: Any
    opts: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for operation in cls.operations:
            setattr(cls, f"{operation.name}_button", _button(operation))

    def has_do_operate_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Whether the user may call the services that run rows of this model. Who may change them may run them, too."""
        can_operate = request.user.has_perm(f"{self.opts.app_label}.operate_{self.opts.model_name}")
        return bool(can_operate) or self.has_do_change_permission(request, obj)

    def has_do_force_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Whether the user may do what the API does not offer: operators and administrators only."""
        return self.has_do_operate_permission(request, obj) and actor_of(request).has_everywhere(Right.OPERATE)

    def has_do_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Whether the user may call the services that change rows of this model."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def has_do_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Whether the user may call the services that remove rows of this model."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.delete_{self.opts.model_name}"))

    def _may(self, request: HttpRequest, operation: Operation, row: Any = None) -> bool:
        """Whether the user has the permission and, if a row is given, the right on this row."""
        if not getattr(self, f"has_do_{operation.right}_permission")(request):
            return False
        right = Right.OPERATE if operation.right in ("operate", "force") else Right.EDIT
        return row is None or bool(self.has_right(request, right, row))  # type: ignore[attr-defined]

    def get_actions(self, request: HttpRequest) -> dict[str, tuple[Any, str, str]]:
        """The operations that this user may ask for; Django's own deletion is not among them."""
        if "_popup" in request.GET:
            return {}
        return {
            operation.name: (self._list_action(operation), operation.name, operation.title)
            for operation in self.operations
            if self._may(request, operation)
        }

    @staticmethod
    def _list_action(operation: Operation) -> Callable[..., HttpResponse | None]:
        def run(self: OperationsMixin, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
            return self.operate_on_many(request, rows, operation)

        return run

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """The buttons of a row's page."""
        row = self.get_object(request, unquote(object_id))  # type: ignore[attr-defined]
        return [] if row is None else self.buttons_of(request, row)

    def arranged_buttons(self, request: HttpRequest, row: Any) -> list[Any]:
        """The buttons of a row as its page arranges them, for a template. No query."""
        return list(
            self._get_actions_navigation(  # type: ignore[attr-defined]
                self.actions_detail, self.buttons_of(request, row), quote(str(row.pk))
            )
        )

    def buttons_of(self, request: HttpRequest, row: Any) -> list[Any]:
        """The buttons that make sense for the row as it is now."""
        allowed = super().get_actions_detail(request, quote(str(row.pk)))  # type: ignore[misc]
        fitting = {
            operation.title
            for operation in self.operations
            if operation.is_allowed(row) and self._may(request, operation, row)
        }
        return [button for button in allowed if button.description in fitting]

    def operate_on_one(self, request: HttpRequest, object_id: str, operation: Operation) -> HttpResponse:
        """The page behind a button: asks on GET, acts on POST and returns to the row, or to the list if it is gone."""
        row = self.get_object(request, unquote(object_id))  # type: ignore[attr-defined]
        if not self._may(request, operation):
            raise PermissionDenied
        if row is None:
            raise Http404(f"there is no {self.opts.verbose_name} with the id {object_id}")
        if not self._may(request, operation, row):
            raise PermissionDenied
        back = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[quote(row.pk)])
        if request.method != "POST":
            return self._confirmation(request, [row], operation, back=back)
        self._operate(request, [row], operation)
        if not self.model._default_manager.filter(pk=row.pk).exists():
            back = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        return HttpResponseRedirect(back)

    def operate_on_many(self, request: HttpRequest, rows: QuerySet[Any], operation: Operation) -> HttpResponse | None:
        """A list action. What removes something, and all rows that match, are asked about first."""
        if not self._may(request, operation):
            raise PermissionDenied
        chosen = [] if request.POST.get("select_across") == "1" else list(rows[: BATCH + 1])
        if not chosen or len(chosen) > BATCH:
            bulk = propose(request.user, operation.name, rows, query=request.GET.urlencode())
            return HttpResponseRedirect(self.bulk_url(bulk))
        if operation.is_destructive and request.POST.get(_CONFIRMED) != "yes":
            return self._confirmation(request, chosen, operation, back=request.get_full_path())
        left = self._operate(request, chosen, operation)
        if not left:
            return None
        bulk = propose(request.user, operation.name, rows.filter(pk__in=left), query=request.GET.urlencode())
        start(bulk)
        return HttpResponseRedirect(self.bulk_url(bulk))

    def _confirmation(
        self, request: HttpRequest, rows: Sequence[Any], operation: Operation, *, back: str
    ) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": operation.title,
            "opts": self.opts,
            "operation": operation,
            "is_danger": operation.variant is ActionVariant.DANGER,
            "rows": [(row, self.describe(row), operation.is_allowed(row)) for row in rows],
            "back": back,
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "noun": self.opts.verbose_name if len(rows) == 1 else self.opts.verbose_name_plural,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "console/confirm.html", context)

    def describe(self, row: Any) -> str:
        """What a confirmation page says of a row beside its name."""
        return ""

    def try_one(self, request: HttpRequest, row: Any, operation: Operation) -> tuple[int, str] | None:
        """Calls the service for one row. What it refuses comes back as a level of messages and the sentence."""
        if not self._may(request, operation, row):
            return messages.ERROR, "you may look at it, but not do this to it"
        try:
            operation.call(row, actor_of(request))
        except DomainError as err:
            return messages.WARNING if err.kind is Kind.UNAVAILABLE else messages.ERROR, err.message
        self._note(request, row, operation)
        return None

    def _operate(self, request: HttpRequest, rows: Sequence[Any], operation: Operation) -> list[Any]:
        """Does it and says how it went. Returns the keys of those for which there was no time."""
        done: list[Any] = []
        refused: list[tuple[int, str]] = []
        left: list[Any] = []
        deadline = time.monotonic() + BUDGET_SECONDS
        for position, row in enumerate(rows):
            if position and time.monotonic() > deadline:
                left = [item.pk for item in rows[position:]]
                break
            refusal = self.try_one(request, row, operation)
            if refusal is None:
                done.append(row)
            else:
                refused.append((refusal[0], f"{row.name}: {refusal[1]}"))
        if done:
            names = ", ".join(row.name for row in done[:_MESSAGES_LIMIT])
            more = f" and {len(done) - _MESSAGES_LIMIT} more" if len(done) > _MESSAGES_LIMIT else ""
            messages.success(request, f"{names}{more}: {operation.done}.")
        for level, text in refused[:_MESSAGES_LIMIT]:
            messages.add_message(request, level, text)
        if len(refused) > _MESSAGES_LIMIT:
            messages.error(request, f"{len(refused) - _MESSAGES_LIMIT} more were refused.")
        return left

    def _note(self, request: HttpRequest, row: Any, operation: Operation) -> None:
        if operation.right == "delete":
            self.log_deletions(request, [row])  # type: ignore[attr-defined]
        else:
            self.log_change(request, row, operation.done)  # type: ignore[attr-defined]

    # Django's own ways to delete must not remove rows behind the services.

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        raise PermissionDenied

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        raise PermissionDenied
