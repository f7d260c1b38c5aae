"""A whole SecFlow whose database and broker stand behind proxies."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from secflow.runtime import postgres, valkey
from secflow.runtime.layout import open_layout
from tests.faults.tcp_proxy import Proxy
from tests.stack import Stack, running_stack
from tests.stand import run_services


@dataclass
class Broken:
    """The stack, and the proxies that its processes go through. `stack.database_url` and `stack.redis_url` go past them."""

    stack: Stack
    database: Proxy
    broker: Proxy

    def execute(self, *statements: str) -> None:
        """Changes made behind the back of SecFlow."""
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


@contextmanager
def stack_behind_proxies(folder: Path, *, env: Mapping[str, str] | None = None) -> Iterator[Broken]:
    """PostgreSQL, Valkey, a proxy before each, and `manage.py up` with their addresses."""
    layout = open_layout(folder / "parts")
    with ExitStack() as stack:
        config = {"fsync": "off", "full_page_writes": "off"}
        run_services(stack, postgres.services(layout, dict(os.environ), config=config), layout)
        run_services(stack, (valkey.service(layout),), layout)
        database, broker = Proxy(layout.postgres_sockets / ".s.PGSQL.5432"), Proxy(layout.valkey_socket)
        stack.callback(database.close)
        stack.callback(broker.close)
        addresses = {
            "DATABASE_URL": f"postgresql://{postgres.USER}@127.0.0.1:{database.port}/{postgres.DATABASE}?sslmode=disable",
            "REDIS_URL": f"redis://127.0.0.1:{broker.port}/0",
        }
        kubeconfig = os.environ.get("SECFLOW_TEST_KUBECONFIG")
        running = stack.enter_context(
            running_stack(folder / "data", kubeconfig=kubeconfig, env=addresses | dict(env or {}))
        )
        running.database_url, running.redis_url = postgres.address(layout), valkey.address(layout)
        yield Broken(running, database, broker)
