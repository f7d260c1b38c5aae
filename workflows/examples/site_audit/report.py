"""Joins the findings of both checks and prints them, the worst first."""

import json
from pathlib import Path

FOLDER = Path("/tmp/site-audit")
ORDER = ("high", "medium", "low")

links = json.loads((FOLDER / "links.json").read_text())
security = json.loads((FOLDER / "security.json").read_text())
findings = sorted(
    links["findings"] + security["findings"], key=lambda item: (ORDER.index(item["severity"]), item["page"])
)

print("SITE AUDIT")
print(f"{security['checked']} pages and {links['checked']} links checked, {len(findings)} findings")
print()
for item in findings:
    print(f"  {item['severity'].upper():<7} {item['page']:<12} {item['text']}")
if not findings:
    print("  nothing found")
