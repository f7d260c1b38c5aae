"""`manage.py quickstart`, so that `help` lists it; manage.py itself runs it without Django."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from secflow.runtime import cli


class Command(BaseCommand):
    """Starts the stand and runs the example workflow."""

    help = "Start everything and run the example workflow through the HTTP API."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        cli.add_arguments(parser, quickstart=True)

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(cli.run(cli.Options(example=True, leave=bool(options.get("exit")), plain=options["plain"])))
