"""Follows every link of the site from its front page and keeps all answers in the shared folder."""

import json
import os
import time
import urllib.error
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

FOLDER = Path("/tmp/site-audit")
HOST, PORT = os.environ["SITE_HOST"], os.environ.get("SITE_PORT", "8080")
START = f"http://{HOST}:{PORT}/"
MOST_PAGES = 100


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("href", "src") and value]


def fetch(url, timeout=10):
    try:
        answer = urllib.request.urlopen(url, timeout=timeout)
    except urllib.error.HTTPError as err:
        answer = err
    with answer:
        body = answer.read(65536).decode("utf-8", "replace")
        return {"path": urlsplit(url).path, "status": answer.status, "headers": dict(answer.headers), "body": body}


def first_page():
    # A new Service may take a moment until every node of the cluster knows it.
    deadline = time.monotonic() + 20
    while True:
        try:
            return fetch(START, timeout=1)
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def links_of(page, url):
    if "html" not in page["headers"].get("Content-Type", ""):
        return []
    parser = Links()
    parser.feed(page["body"])
    return [link for link in (urljoin(url, item) for item in parser.found) if link.startswith(START)]


for old in FOLDER.glob("*.json"):
    old.unlink()
pages, waiting = {START: first_page()}, [START]
while waiting and len(pages) < MOST_PAGES:
    url = waiting.pop(0)
    page = pages[url]
    page["links"] = [urlsplit(link).path for link in links_of(page, url)]
    print(f"{page['status']} {page['path']} ({len(page['links'])} links)")
    for link in links_of(page, url):
        if link not in pages:
            pages[link] = fetch(link)
            waiting.append(link)
(FOLDER / "pages.json").write_text(json.dumps(list(pages.values()), indent=1))
print(f"{len(pages)} pages kept in {FOLDER}")
