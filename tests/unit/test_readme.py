"""What the README says of the settings is what the code says."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from django.core.management import call_command

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_table_of_settings_is_up_to_date() -> None:
    text = README.read_text(encoding="utf-8")
    shown = text.partition("<!-- settings:")[2].partition("-->\n")[2].partition("<!-- settings end -->")[0]
    output = StringIO()

    call_command("settings", "--table", stdout=output)

    assert shown.strip() == output.getvalue().strip()
