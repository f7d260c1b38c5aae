"""Our own documents as HTML: the part of Markdown that they use, and nothing else. Whatever is in them is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString

Address = Callable[[str], str | None]
"""Where a link leads; None for one that leads nowhere here."""

_HEADING = re.compile(r"(#{1,6}) +(.*)")
_ITEM = re.compile(r"( *)([-*]|\d+\.) +(.*)")
_FENCE = re.compile(r" *```")
_INLINE = re.compile(r"`([^`]+)`|\*\*(.+?)\*\*|!?\[([^\]]*)\]\(([^)\s]+)\)")
_CELL = re.compile(r"(?<!\\)\|")


def anchor(title: str) -> str:
    """The id of a heading, as Git hosts make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


def render(text: str, address: Address) -> SafeString:
    """The document as HTML. Equal headings get equal ids: the first one is found."""
    lines = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).splitlines()
    return format_html_join("", "{}", ((block,) for block in _blocks(lines, address)))


def _blocks(lines: list[str], address: Address) -> Iterator[SafeString]:
    at = 0
    while at < len(lines):
        begin, line = at, lines[at]
        at += 1
        if not line.strip():
            continue
        if _FENCE.match(line):
            while at < len(lines) and not _FENCE.match(lines[at]):
                at += 1
            yield format_html(
                '<pre class="console-text console-text--whole">{}</pre>', "\n".join(lines[begin + 1 : at])
            )
            at += 1
        elif heading := _HEADING.match(line):
            level, title = len(heading[1]), heading[2].strip()
            yield format_html('<h{0} id="{1}">{2}</h{0}>', level, anchor(title), _inline(title, address))
        elif line.startswith("|"):
            at = _end(lines, at, lambda text: text.startswith("|"))
            yield _table(lines[begin:at], address)
        elif _ITEM.match(line):
            at = _end(lines, at, lambda text: bool(_ITEM.match(text)) or text.startswith("  "))
            yield _list(lines[begin:at], address)
        else:
            at = _end(lines, at, lambda text: bool(text.strip()) and not _begins(text))
            yield format_html("<p>{}</p>", _inline(" ".join(map(str.strip, lines[begin:at])), address))


def _begins(line: str) -> bool:
    return bool(_FENCE.match(line) or _HEADING.match(line) or _ITEM.match(line)) or line.startswith("|")


def _end(lines: list[str], at: int, goes_on: Callable[[str], bool]) -> int:
    while at < len(lines) and goes_on(lines[at]):
        at += 1
    return at


def _table(lines: list[str], address: Address) -> SafeString:
    rows = [[cell.strip().replace("\\|", "|") for cell in _CELL.split(line.strip().strip("|"))] for line in lines]
    head, body = rows[0], rows[2:]
    return format_html(
        '<div class="console-wide"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        format_html_join("", "<th>{}</th>", ((_inline(cell, address),) for cell in head)),
        format_html_join(
            "",
            "<tr>{}</tr>",
            ((format_html_join("", "<td>{}</td>", ((_inline(cell, address),) for cell in row)),) for row in body),
        ),
    )


def _list(lines: list[str], address: Address) -> SafeString:
    """A flat list: a deeper item is one more item, further in."""
    items: list[tuple[int, list[str]]] = []
    for line in lines:
        found = _ITEM.match(line)
        if found:
            items.append((len(found[1]) // 2, [found[3]]))
        else:
            items[-1][1].append(line.strip())
    first = _ITEM.match(lines[0])
    name = "ol" if first and first[2][0].isdigit() else "ul"
    cells = format_html_join(
        "",
        '<li class="console-level-{}">{}</li>',
        ((min(level, 3), _inline(" ".join(words), address)) for level, words in items),
    )
    return format_html("<{0}>{1}</{0}>", name, cells)


def _inline(text: str, address: Address) -> SafeString:
    made, at = SafeString(""), 0
    for found in _INLINE.finditer(text):
        made += conditional_escape(text[at : found.start()])
        at = found.end()
        code, strong, label, target = found.groups()
        if code is not None:
            made += format_html("<code>{}</code>", code)
        elif strong is not None:
            made += format_html("<strong>{}</strong>", _inline(strong, address))
        else:
            made += _link(label, address(target), address, is_picture=found[0].startswith("!"))
    return made + conditional_escape(text[at:])


def _link(label: str, url: str | None, address: Address, *, is_picture: bool) -> SafeString:
    if is_picture and url:
        return format_html('<img src="{}" alt="{}" loading="lazy">', url, label)
    words = _inline(label, address)
    if url is None or is_picture:
        return words
    return format_html('<a href="{}" class="text-link">{}</a>', url, words)
