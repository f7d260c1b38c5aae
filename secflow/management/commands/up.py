"""`manage.py up`, so that `help` lists it; manage.py itself runs it without Django."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from secflow.runtime import cli


class Command(BaseCommand):
    """Starts the stand."""

    help = "Start PostgreSQL, Valkey, a cluster (each unless given) and all processes of SecFlow."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        cli.add_arguments(parser, quickstart=False)

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(cli.run(cli.Options(example=False, leave=bool(options.get("exit")), plain=options["plain"])))
