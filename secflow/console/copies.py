"""Lists in which every row can be copied."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display


class CopyColumn:
    """Adds a last column with a link to the form of a copy, for those who are offered `copy_button` on a row's page."""

    opts: Any

    def may_copy(self, request: HttpRequest) -> bool:
        """Whether the user may make rows of this kind, and so copies of those that he sees."""
        raise NotImplementedError

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The columns, with that of copies where the user may make one."""
        shown = list(super().get_list_display(request))  # type: ignore[misc]
        return [*shown, "copy_cell"] if self.may_copy(request) else shown

    # A plain link instead of unfold's menu of a row: that one cannot be opened without a mouse and a script.
    @display(description="Copy")
    def copy_cell(self, row: Any) -> SafeString:
        url = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_copy_button", args=[quote(str(row.pk))])
        return format_html(
            '<a class="text-link" href="{}" aria-label="Copy {}" title="Copy">'
            '<span class="material-symbols-outlined" aria-hidden="true">content_copy</span></a>',
            url,
            row.name,
        )
