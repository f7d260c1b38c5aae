"""`manage.py settings`: every variable of the environment, as this process sees it or as a table for the README."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from secflow.settings import environment


class Command(BaseCommand):
    """Without options: name, value in force and where it comes from, secrets masked."""

    help = "Show the variables SecFlow reads from the environment."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--table", action="store_true", help="name, default and meaning of each as Markdown")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["table"]:
            self.stdout.write(environment.markdown_table())
            return
        environ = environment.process_environment()
        for variable in environment.variables():
            raw = environ.get(variable.name, "")
            origin = "environment" if raw else "default"
            if variable.secret and environ.get(f"{variable.name}_FILE"):
                raw, origin = environment.MASK, f"{variable.name}_FILE"
            shown = environment.masked(variable, raw) if raw else variable.default or ""
            self.stdout.write(f"{variable.name:<26} {shown:<48} {origin}")
