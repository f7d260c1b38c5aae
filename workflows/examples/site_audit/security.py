"""Finds pages without security headers, and secrets in what the site serves."""

import json
import re
from pathlib import Path

FOLDER = Path("/tmp/site-audit")
HEADERS = ("Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy")
SECRETS = {
    "cloud access key": r"\bAKIA[0-9A-Z]{16}\b",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "password in an address": r"\w+://[^\s:/]+:[^\s@/]+@",
}

pages = json.loads((FOLDER / "pages.json").read_text())
findings = []
for page in pages:
    sent = {name.lower() for name in page["headers"]}
    missing = [name for name in HEADERS if name.lower() not in sent]
    if missing:
        findings.append({"severity": "medium", "page": page["path"], "text": f"missing headers: {', '.join(missing)}"})
    for kind, pattern in SECRETS.items():
        findings += [
            {"severity": "high", "page": page["path"], "text": f"{kind} leaked: {secret[:6]}..."}
            for secret in re.findall(pattern, page["body"])
        ]
(FOLDER / "security.json").write_text(json.dumps({"checked": len(pages), "findings": findings}))
print(f"{len(findings)} security findings")
