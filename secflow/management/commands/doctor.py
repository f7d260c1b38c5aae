"""`manage.py doctor`: looks at each part and says what to do about what it finds."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from secflow.runtime.checkup import LOCAL_CHECKS, PROCESS_CHECKS, Finding, worst
from secflow.runtime.checkup_cluster import check_cluster


class Command(BaseCommand):
    """Prints a line per finding. Exit code 1 when something fails."""

    help = "Check Python, environment, database, broker, cluster, rights and processes, and say what to do."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON document: a list of findings")

    def handle(self, *args: Any, **options: Any) -> None:
        findings: list[Finding] = []
        for check in (*LOCAL_CHECKS, check_cluster, *PROCESS_CHECKS):
            for finding in check(settings.SECFLOW):
                findings.append(finding)
                if not options["json"]:
                    self._show(finding)
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=2))
        if worst(findings) == "fail":
            sys.exit(1)

    def _show(self, finding: Finding) -> None:
        style = {"ok": self.style.SUCCESS, "warn": self.style.WARNING, "fail": self.style.ERROR}[finding.level]
        self.stdout.write(f"{style(f'{finding.level:<4}')}  {finding.part:<12} {finding.text}")
        if finding.advice:
            self.stdout.write(f"      {'':<12} -> {finding.advice}")
