"""Forms that write by a service: what is refused, by the API's own rules and words, ends up beside the inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from secflow.console.bodies.body import Body
from secflow.http.serializers import Input
from workflows.domain.errors import DomainError


class _OnlyAsked(Exception):
    """Ends a transaction that was for asking."""


class WritingBody(Body, ABC):
    """A body with a serializer of the API and a service. `new_input` reads new objects, `change_input` changes."""

    new_input: type[Input]
    change_input: type[Input]

    def given(self) -> Mapping[str, Any]:
        """What the serializer reads: everything of a new object, only the changes of one that exists."""
        return self.values if self.stored is None else self.changes

    @abstractmethod
    def write(self, values: Mapping[str, Any]) -> Any:
        """Calls the service with what the serializer made of `given`."""

    def apply(self) -> Any:
        """Writes what was sent and returns what `write` does; None, with `errors`, when something refuses it."""
        values = self.check(self.new_input if self.stored is None else self.change_input, self.given())
        if self.errors:
            return None
        try:
            # A savepoint: what the service did before it refused must not stay in the page's transaction.
            with transaction.atomic():
                return self.write(values)
        except DomainError as err:
            self.refuse(err)
        return None

    def try_out(self) -> None:
        """Asks everything that `apply` asks, and leaves nothing behind."""
        try:
            with transaction.atomic():
                self.apply()
                raise _OnlyAsked
        except _OnlyAsked:
            return
