"""One call of the command: its options, the environment and the remembered logins make a server, a user and an output."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from secflow.cli.client import Client, Credentials
from secflow.cli.contexts import Context, ContextFile
from secflow.cli.credentials import GivenToken, KeptTokens, NoToken
from secflow.cli.errors import NotLoggedIn
from secflow.cli.output import Format, Output
from secflow.cli.refusals import LOG_IN
from secflow.cli.transport import TRIES, Server, Transport, server_url


@dataclass(frozen=True, slots=True)
class Choices:
    """The options that every command has, and how often it sends a request at most."""

    context: str | None = None
    url: str | None = None
    project: str | None = None
    ca_file: str | None = None
    insecure: bool = False
    timeout: float = 30.0
    tries: int = TRIES
    form: Format = Format.TABLE


class Session:
    """Made for each command; nothing is read or connected before it is needed."""

    def __init__(self, choices: Choices, environ: Mapping[str, str] | None = None) -> None:
        self.choices = choices
        self.environ = os.environ if environ is None else environ
        self.file = ContextFile(self.environ)
        self.out = Output(form=choices.form, environ=self.environ)

    @cached_property
    def login(self) -> tuple[str, Context]:
        """Name and content of the context that this call uses; the name is empty when nobody is logged in there."""
        contexts = self.file.read()
        url = server_url(self.choices.url) if self.choices.url else ""
        if self.choices.context:
            found = contexts.demand(self.choices.context)
            # Another address than the context's gets no token of it.
            return (self.choices.context, found) if not url or url == found.url else ("", Context(url=url))
        if url:
            return contexts.of_url(url) or ("", Context(url=url))
        if contexts.current in contexts.known:
            return contexts.current, contexts.known[contexts.current]
        raise NotLoggedIn("you are not logged in anywhere", hint=_FIRST)

    @property
    def project(self) -> str | None:
        """The project that was named, else the one of the context; None for every one, which `all` means."""
        chosen = self.choices.project or self.login[1].project
        return None if chosen in ("", "all") else chosen

    @property
    def given_token(self) -> str:
        """SECFLOW_TOKEN, which goes before every remembered token; empty when it is not set."""
        return self.environ.get("SECFLOW_TOKEN", "").strip()

    def transport(self, context: Context) -> Transport:
        """The connection to the server of a context, with what this call says about trust."""
        server = Server(
            url=context.url,
            ca_file=self.choices.ca_file or context.ca_file,
            insecure=self.choices.insecure or context.insecure,
            timeout=self.choices.timeout,
        )
        return Transport(server, tries=self.choices.tries)

    @cached_property
    def client(self) -> Client:
        """The API of the chosen server as the chosen user."""
        name, context = self.login
        transport = self.transport(context)
        return Client(transport, self._credentials(name, context, transport))

    def _credentials(self, name: str, context: Context, transport: Transport) -> Credentials:
        if self.given_token:
            return GivenToken(self.given_token)
        return KeptTokens(self.file, name, transport) if name else NoToken(context.url)

    def remember(self, name: str, context: Context) -> None:
        """Keep a login and make it the current one."""
        with self.file.locked():
            self.file.write(self.file.read().with_context(name, context, make_current=True))

    def forget_tokens(self, name: str) -> None:
        """Keep the address, lose the tokens."""
        with self.file.locked():
            self.file.change(name, access="", refresh="")


_FIRST = f"{LOG_IN} On the machine of `make quickstart`: `secflow login --local`."
