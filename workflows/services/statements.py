"""Statements that travel together: one round trip to PostgreSQL for all of them, and plans that the server keeps.

A hand-off between nodes is a handful of small statements. Sent one by one, waiting for the network and waking up for each
answer costs more than the statements themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import connection
from django.db.models import Model

Rows = list[tuple[Any, ...]]
Parameters = Mapping[str, Any] | Sequence[Any]


@dataclass(frozen=True, slots=True)
class _Waiting:
    text: str
    parameters: Parameters
    then: Callable[[Rows, int], object] | None


class Statements:
    """Statements of one transaction, sent in the order in which they were added when `send` is called.

    The server runs them one after the other and each sees what the ones before it did: it is as if they had been executed
    singly. An error ends the whole portion; the surrounding transaction has to be given up then, as always.
    """

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def add(self, text: str, parameters: Parameters, then: Callable[[Rows, int], object] | None = None) -> None:
        """`then` is called by `send` with the rows that the statement returned and the number of rows it touched."""
        self._waiting.append(_Waiting(text, parameters, then))

    def send(self, *, apart: bool = False) -> None:
        """Sends what waits, and calls what was to be called with the answers. Raises Django's database errors.

        With `apart`, and outside of a transaction, each statement is a transaction of its own, still in one round trip: none
        holds a lock while the next one waits for another.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        connection.validate_no_broken_transaction()
        connection.ensure_connection()
        raw = connection.connection
        with connection.wrap_database_errors:
            cursors = []
            with raw.pipeline() as pipeline:
                for item in waiting:
                    # Not Django's cursor: that one puts the parameters into the text, and the server could keep no plan.
                    cursor = psycopg.Cursor(raw)
                    cursor.execute(item.text, item.parameters)
                    cursors.append(cursor)
                    if apart and not connection.in_atomic_block:
                        pipeline.sync()
            answers = [(cursor.fetchall() if cursor.description else [], cursor.rowcount) for cursor in cursors]
        if connection.queries_logged:
            connection.queries_log.extend({"sql": item.text, "time": "0.000"} for item in waiting)
        for item, (rows, count) in zip(waiting, answers, strict=True):
            if item.then is not None:
                item.then(rows, count)


def update_rows(
    statements: Statements, model: type[Model], pks: Collection[int | str], changes: Mapping[str, Any]
) -> None:
    """Adds one UPDATE that gives these rows of the model the values of `changes`, by field name."""
    columns, values = [], []
    for name, value in changes.items():
        field = model._meta.get_field(name)
        columns.append(f"{field.column} = %s")  # type: ignore[union-attr]
        values.append(field.get_db_prep_save(value, connection))  # type: ignore[union-attr]
    table, key = model._meta.db_table, model._meta.pk.column
    # Names of tables and columns are those of the models: nothing of a caller gets into the text.
    statements.add(f"UPDATE {table} SET {', '.join(columns)} WHERE {key} = ANY(%s)", [*values, list(pks)])  # noqa: S608
