"""Finds links to pages that did not answer with success."""

import json
from pathlib import Path

FOLDER = Path("/tmp/site-audit")
pages = json.loads((FOLDER / "pages.json").read_text())
status = {page["path"]: page["status"] for page in pages}
findings = [
    {"severity": "medium", "page": page["path"], "text": f"link to {link} answers {status[link]}"}
    for page in pages
    for link in page.get("links", [])
    if status.get(link, 200) >= 400
]
(FOLDER / "links.json").write_text(
    json.dumps({"checked": sum(len(p.get("links", [])) for p in pages), "findings": findings})
)
print(f"{len(findings)} broken links")
