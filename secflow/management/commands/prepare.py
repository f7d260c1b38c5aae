"""`manage.py prepare`: tables, the groups of the roles and the first admin, as often as you like."""

from __future__ import annotations

import secrets
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from secflow.projects.roles import ensure_roles
from secflow.runtime.checkup import Check, check_broker, demand
from secflow.runtime.checkup_cluster import check_reachable
from secflow.runtime.database import ensure_database
from secflow.runtime.errors import StandError
from secflow.runtime.layout import write_private
from workflows.services.journal import renew_positions

# Two that prepare one database at the same time take turns.
_LOCK = 0x5EC_F10


class Command(BaseCommand):
    """Migrates when there is something to migrate and makes the first admin when that user does not exist."""

    help = "Make the database's tables, the groups of the roles and the first admin. Safe to repeat and to run twice at once."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--wait", type=float, default=0, metavar="SECONDS", help="how long PostgreSQL may take to answer"
        )
        parser.add_argument("--broker", action="store_true", help="also see that REDIS_URL answers")
        parser.add_argument("--cluster", action="store_true", help="also see that the cluster answers")
        parser.add_argument("--password-file", type=Path, help="where a random admin password is written (0600)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            ensure_database(settings.SECFLOW.database_url, wait_seconds=options["wait"])
            checks: list[Check] = [check_broker] if options["broker"] else []
            checks += [check_reachable] if options["cluster"] else []
            demand(checks, settings.SECFLOW)
        except StandError as err:
            self.stdout.write(str(err))
            sys.exit(2)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            try:
                self._migrate()
                self._renew_positions()
                ensure_roles()
                self._make_admin(options["password_file"])
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])

    def _migrate(self) -> None:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=0)

    def _renew_positions(self) -> None:
        count = renew_positions()
        if count:
            self.stdout.write(f"{count} events came from another database server: cursors of the feed begin anew.")

    def _make_admin(self, password_file: Path | None) -> None:
        users = get_user_model().objects
        name = settings.SECFLOW.superuser_username
        if users.filter(username=name).exists():
            return
        password = settings.SECFLOW.superuser_password
        if password is None:
            if password_file is None:
                self.stdout.write("No admin was made: set DJANGO_SUPERUSER_PASSWORD, or give --password-file.")
                return
            password = secrets.token_urlsafe(15)
            write_private(password_file, f"{password}\n")
        users.create_superuser(username=name, email="", password=password)
