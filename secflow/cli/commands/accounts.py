"""Logging in and out, and the servers that are remembered."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated, Any

import typer

from secflow.cli.contexts import Context
from secflow.cli.credentials import checked_token, claims_of, log_in, log_out
from secflow.cli.errors import CliError, NotLoggedIn, UsageProblem
from secflow.cli.options import command
from secflow.cli.routes import LIST_INSTANCES
from secflow.cli.session import Session
from secflow.cli.stand import local_stand
from secflow.cli.table import Column
from secflow.cli.transport import server_url

PANEL = "Log in"
_DEFAULT_URL = "http://127.0.0.1:10005"


def login(
    session: Session,
    address: Annotated[str | None, typer.Argument(metavar="URL", help="Address of the server.")] = None,
    username: Annotated[str | None, typer.Option("--username", "-u", help="Who you are there.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read a token of another service from standard input.")
    ] = False,
    local: Annotated[
        bool, typer.Option("--local", help="The stand of `make quickstart` or `make up` on this machine.")
    ] = False,
) -> None:
    """Log in at a server, and remember it.

    Asks for what is not given. The password is not kept; the tokens are, in a
    file that only you can read, and renew themselves for a day after the last
    use. A login gets a name (--context) and becomes the current one; its
    project, if --project is given, is the default of later commands.

    \b
    Examples:
      secflow login --local
      secflow login https://secflow.example.org -u ada
      pass secflow | secflow login https://flow.example.org -u ada --password-stdin
      secflow login https://staging.example.org --context staging --project p1
    """
    if password_stdin and token_stdin:
        raise UsageProblem("--password-stdin and --token-stdin exclude each other", hint="Give one of them.")
    stand = local_stand(session.environ) if local else None
    url = stand.url if stand else server_url(address or session.choices.url or _ask("Server", _remembered_url(session)))
    name = session.choices.context or ("local" if local else _name_for(session, url))
    kept = session.file.read().known.get(name)
    context = Context(
        url=url,
        project=session.choices.project or (kept.project if kept else ""),
        ca_file=session.choices.ca_file or (kept.ca_file if kept and kept.url == url else ""),
        insecure=session.choices.insecure,
    )
    transport = session.transport(context)
    if not transport.server.is_local and url.startswith("http://"):
        session.out.remark(f"Warning: what you send to {url} can be read on the way; https:// would hide it.")
    if token_stdin:
        pair = {"access": checked_token(_from_stdin("token").strip(), source="standard input"), "refresh": ""}
        user = str(claims_of(pair["access"]).get("username", ""))
    elif stand:
        user = username or stand.username
        pair = log_in(transport, user, stand.password)
    else:
        user = username or _ask("User", kept.username if kept else "")
        pair = log_in(transport, user, _from_stdin("password") if password_stdin else _ask_password(user))
    session.remember(name, Context(**{**_fields(context), "username": user, **pair}))
    session.out.remark(f"Logged in at {url}{f' as {user}' if user else ''} (context {name}).")


def logout(session: Session) -> None:
    """Log out, here and at the server.

    \b
    Examples:
      secflow logout
      secflow logout --context staging
    """
    name, context = session.login
    if not name:
        raise NotLoggedIn(f"you are not logged in at {context.url}", hint="See `secflow context list`.")
    if context.refresh:
        try:
            log_out(session.transport(context), context.refresh)
        except CliError as err:
            session.out.remark(f"Warning: {err.message}. The tokens are removed here; there they end within a day.")
    session.forget_tokens(name)
    session.out.remark(f"Logged out of {context.url} (context {name}).")


def whoami(session: Session) -> None:
    """Say who you are, and at which server.

    \b
    Examples:
      secflow whoami
      secflow whoami -o json
    """
    name, context = session.login
    # Any read tells whether the token is accepted; this one costs least.
    total = session.client.get(LIST_INSTANCES, query={"page": 1, "page_size": 1})["total"]
    is_given = bool(session.given_token)
    claims = claims_of(session.given_token or context.access)
    found: dict[str, Any] = {
        "url": context.url,
        "username": str(claims.get("username") or ("" if is_given else context.username)),
        "user_id": str(claims.get("user_id") or claims.get("sub") or ""),
        "roles": [str(role) for role in claims.get("role") or [] if isinstance(claims.get("role"), list)],
        "context": None if is_given else name,
        "project": session.project,
        "visible_workflows": total,
    }
    if not session.out.is_for_people:
        session.out.data(found, names=[found["username"] or found["user_id"]])
        return
    roles = f" ({', '.join(found['roles'])})" if found["roles"] else ""
    session.out.say(
        f"User      {found['username'] or found['user_id'] or 'unknown: the token does not say'}{roles}",
        f"Server    {found['url']}",
        f"Login     {'SECFLOW_TOKEN' if is_given else f'context {name}'}",
        f"Project   {found['project'] or 'every one'}",
        f"You see   {total} workflows",
    )


def context_list(session: Session) -> None:
    """List the logins that are remembered; the current one has a star.

    \b
    Example:
      secflow context list
    """
    contexts = session.file.read()
    items = [
        {
            "id": name,
            "current": name == contexts.current,
            "url": one.url,
            "username": one.username,
            "project": one.project,
            "logged_in": bool(one.access),
        }
        for name, one in sorted(contexts.known.items())
    ]
    session.out.items(
        items,
        (Column(""), Column("CONTEXT"), Column("SERVER", least=20), Column("USER"), Column("PROJECT"), Column("LOGGED IN")),
        lambda item: [
            "*" if item["current"] else "", item["id"], item["url"], item["username"], item["project"],
            "yes" if item["logged_in"] else "no",
        ],
        empty="No login is remembered yet: run `secflow login`.",
    )  # fmt: skip


def context_use(
    session: Session, name: Annotated[str, typer.Argument(help="A name of `secflow context list`.")]
) -> None:
    """Make a remembered login the current one.

    \b
    Example:
      secflow context use staging
    """
    with session.file.locked():
        contexts = session.file.read()
        found = contexts.demand(name)
        session.file.write(contexts.with_context(name, found, make_current=True))
    session.out.remark(f"Commands go to {found.url} now (context {name}).")


def _fields(context: Context) -> dict[str, Any]:
    return {"url": context.url, "project": context.project, "ca_file": context.ca_file, "insecure": context.insecure}


def _remembered_url(session: Session) -> str:
    contexts = session.file.read()
    return contexts.known[contexts.current].url if contexts.current in contexts.known else _DEFAULT_URL


def _name_for(session: Session, url: str) -> str:
    """The name that this address has already, else its host."""
    known = session.file.read().of_url(url)
    return known[0] if known else url.partition("://")[2].replace("/", "-")


def _ask(what: str, default: str) -> str:
    if not sys.stdin.isatty():
        raise UsageProblem(
            f"{what.lower()} is not given, and nobody can be asked here", hint="See `secflow login --help`."
        )
    return str(typer.prompt(what, default=default or None, err=True))


def _ask_password(user: str) -> str:
    if not sys.stdin.isatty():
        raise UsageProblem(
            "the password is not given, and nobody can be asked here", hint="Give it with --password-stdin."
        )
    return getpass.getpass(f"Password of {user}: ")


def _from_stdin(what: str) -> str:
    try:
        text = sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError as err:
        raise UsageProblem(f"the {what} is not text in UTF-8", hint="Pipe it in as UTF-8.") from err
    if not text:
        raise UsageProblem(
            f"standard input holds no {what}", hint=f"Pipe it in: `printf %s ... | secflow login --{what}-stdin`."
        )
    return text


def add_to(app: typer.Typer) -> None:
    """Declare the commands."""
    command(app, "login", panel=PANEL, without=("form",))(login)
    command(app, "logout", panel=PANEL, without=("form", "project"))(logout)
    command(app, "whoami", panel=PANEL)(whoami)
    contexts = typer.Typer(name="context", help="List and choose remembered logins.", no_args_is_help=True)
    command(contexts, "list", without=("project", "context", "url", "ca_file", "insecure", "timeout"))(context_list)
    command(contexts, "use", without=("form", "project", "context", "url", "ca_file", "insecure", "timeout"))(
        context_use
    )
    app.add_typer(contexts, rich_help_panel=PANEL)
