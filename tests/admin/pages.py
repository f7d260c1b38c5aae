"""What a browser without a script does with a form: it sends what the inputs hold."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

_VOID = frozenset({"input", "br", "hr", "img", "link", "meta", "source", "wbr", "col"})


class _Inputs(HTMLParser):
    """The successful inputs of the forms of a page, by form, as (name, value) in their order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[list[tuple[str, str]]] = []
        self.disabled = 0
        self._inert = 0
        self._select: str | None = None
        self._chosen: str | None = None
        self._first: str | None = None
        self._area: str | None = None
        self._text = ""

    @property
    def _open(self) -> list[tuple[str, str]] | None:
        return self.forms[-1] if self.forms and not self._inert else None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = {name: value or "" for name, value in attrs}
        if tag == "template":
            self._inert += 1
        elif tag == "form" and not self._inert:
            self.forms.append([])
        if self._open is None:
            return
        if tag in ("input", "select", "textarea") and "disabled" in at:
            self.disabled += 1
            return
        if tag == "input" and at.get("name") and at.get("type") not in ("submit", "button", "file"):
            if at.get("type") not in ("checkbox", "radio"):
                self._open.append((at["name"], at.get("value", "")))
            elif "checked" in at:
                self._open.append((at["name"], at.get("value", "on")))
        elif tag == "select":
            self._select, self._chosen, self._first = at.get("name"), None, None
        elif tag == "option" and self._select:
            self._first = at.get("value", "") if self._first is None else self._first
            if "selected" in at:
                self._chosen = at.get("value", "")
        elif tag == "textarea":
            self._area, self._text = at.get("name"), ""

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "template":
            self._inert -= 1
        if self._open is None:
            return
        if tag == "select" and self._select:
            value = self._chosen if self._chosen is not None else self._first
            if value is not None:
                self._open.append((self._select, value))
            self._select = None
        elif tag == "textarea" and self._area is not None:
            self._open.append((self._area, self._text.removeprefix("\n")))
            self._area = None


def form_of(response: Any, holding: str = "_seen") -> dict[str, str]:
    """The inputs of the form that has an input named `holding`, as a browser would send them untouched."""
    parser = _Inputs()
    # Browsers read every kind of line end as one, and send the long one.
    parser.feed(re.sub(r"\r\n?", "\n", response.content.decode()))
    found = next(fields for fields in parser.forms if any(name == holding for name, _ in fields))
    return {name: re.sub(r"\n", "\r\n", value) for name, value in found}


def problems_of(response: Any) -> dict[str, str]:
    """What a page says beside its inputs, by the name of the input."""
    text = response.content.decode()
    found = re.findall(r'<p class="console-error"[^>]*data-error-of="([^"]*)">([^<]+)</p>', text)
    return dict(found)
