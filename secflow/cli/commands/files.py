"""Workflows as files: apply, lint, run, export."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from secflow.cli.client import Json, new_key
from secflow.cli.commands.acting import begin_run
from secflow.cli.commands.looking import finish
from secflow.cli.documents import JSON, Document, read_documents
from secflow.cli.errors import CliError, Refused, UsageProblem
from secflow.cli.finding import find_instance, read_instance
from secflow.cli.findings import in_words, place, tell_refused
from secflow.cli.linting import check_offline
from secflow.cli.options import OptionalName, Timeout, command
from secflow.cli.output import Format, Output
from secflow.cli.routes import APPLY_DOCUMENT, READ_DOCUMENT
from secflow.cli.session import Session
from secflow.cli.table import STATUS_STYLES, Column
from secflow.cli.times import seconds_of
from secflow.cli.watching import has_ended, watch

PANEL = "Build and run"
# The server refuses to change what is set up or has run.
_LOCKED = re.compile(r"workflow (wf-inst-\S+) .*uninitialize it")
Files = Annotated[
    list[str],
    typer.Option(
        "--file", "-f", metavar="FILE|DIR|-", help="A workflow file, a folder of them, or standard input. Repeatable."
    ),
]


def apply(
    session: Session,
    files: Files,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen; change nothing.")] = False,
) -> None:
    """Make or change workflows so that they are as the files say.

    Applying a file again changes nothing. A workflow is known by its project
    and name, a template by its project, kind and name. Either all of a document
    is done or nothing; the first document that is refused ends it. A workflow
    that is set up or has run has to be made a draft first: secflow uninit NAME.

    \b
    Examples:
      secflow apply -f nightly.yaml
      secflow apply -f workflows/ --project p1
      secflow apply -f nightly.yaml --dry-run
      secflow export nightly | sed s/busybox/alpine/ | secflow apply -f -
    """
    answers: list[Json] = []
    try:
        answers.extend(send_document(session, document, dry_run=dry_run) for document in read_documents(files))
    finally:
        # When one is refused, those before it have been applied.
        if answers:
            _show(session.out, answers)
    if errors := _errors_of(answers):
        raise Refused("there are errors", hint=_way_out(errors) or "Change what is named above; nothing was applied.")
    if dry_run and session.out.is_for_people:
        session.out.remark("Nothing was changed: this was a dry run.")


def lint(
    session: Session,
    files: Files,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no server: look at the form only.")] = False,
    manifests: Annotated[bool, typer.Option("--manifests", help="Also show what the cluster would be given.")] = False,
) -> None:
    """Check workflow files; nothing is changed.

    The server says what it would do, and what is wrong. The exit code is 3 when
    there is an error. With --offline no server and no login is needed, and only
    the form is judged.

    \b
    Examples:
      secflow lint -f nightly.yaml
      secflow lint -f workflows/ --offline
      secflow lint -f nightly.yaml --manifests
    """
    documents = read_documents(files)
    if offline:
        found: list[Json] = [
            {"source": one.place, "name": one.name, "findings": check_offline(one)} for one in documents
        ]
        _show_findings(session.out, found)
    else:
        found = [send_document(session, one, dry_run=True) for one in documents]
        _show(session.out, found)
        if manifests and session.out.is_for_people:
            _show_manifests(session.out, found)
    if errors := _errors_of(found):
        count = f"{len(errors)} error{'s' if len(errors) > 1 else ''}"
        raise Refused(count, hint=_way_out(errors) or "Change what is named above, and lint again.")
    if session.out.is_for_people:
        session.out.remark(f"{len(found)} workflow{'s are' if len(found) > 1 else ' is'} in order.")


def run(
    session: Session,
    name: OptionalName = None,
    files: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", metavar="FILE|-", help="Apply this file first, and run what it describes."),
    ] = None,
    watching: Annotated[bool, typer.Option("--watch", "-w", help="Follow the run to its end.")] = False,
    timeout: Timeout = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Idempotency key: the same key starts no second run.")
    ] = None,
) -> None:
    """Run a workflow, or apply a file and run what it describes.

    A workflow that has run already is run again. With --watch the progress of
    each node is shown, and the exit code tells how it ended: 0 succeeded, 1 not.

    \b
    Examples:
      secflow run nightly --watch
      secflow run -f nightly.yaml --watch
      secflow run nightly --watch --timeout 30m -o json
    """
    if (name is None) == (not files):
        raise UsageProblem(
            "either a NAME or a file has to be given", hint="`secflow run NAME` or `secflow run -f FILE`."
        )
    if name is not None:
        instance = find_instance(session, name)
    else:
        instance = _applied(session, files or [])
    instance = begin_run(session, instance, key=key or new_key())
    if not watching:
        if session.out.is_for_people:
            session.out.remark(f"{instance['name']} runs: `secflow watch {instance['id']}` follows it.")
        else:
            session.out.data(instance, names=[instance["id"]])
        return
    finish(session, watch(session, instance, until=has_ended, timeout=seconds_of(timeout) if timeout else None))


def _applied(session: Session, files: list[str]) -> Json:
    documents = read_documents(files)
    if len(documents) > 1:
        raise UsageProblem(
            f"{len(documents)} workflows are in the file", hint="`secflow apply` takes several, `run` one."
        )
    answer = send_document(session, documents[0], dry_run=False)
    if session.out.is_for_people:
        _show(session.out, [answer])
    return read_instance(session.client, answer["instance"]["id"])


def send_document(session: Session, document: Document, *, dry_run: bool) -> Json:
    """The server's answer to one document, with `source` and `file` added. Raises Refused, which says the findings."""
    # The project of the login only fills in; one that was named must not be another than the file's.
    project = session.project if session.choices.project or not document.project else None
    content, media_type = document.body(project)
    try:
        answer: Json = session.client.send(APPLY_DOCUMENT, content, content_type=media_type, query={"dry_run": dry_run})
    except CliError as err:
        findings = _findings_of(err)
        err.hint = _way_out([item["message"] for item in findings] or [err.message]) or err.hint
        if findings:
            if media_type == JSON:
                place(findings, document)
            tell_refused(err, document, findings)
        else:
            err.message = f"{document.place}: {err.message}"
        raise
    if media_type == JSON:
        place(answer["findings"], document)
    return {"source": document.place, "file": document.source, **answer}


def _errors_of(answers: list[Json]) -> list[str]:
    return [item["message"] for one in answers for item in one["findings"] if item["severity"] == "error"]


def _way_out(errors: list[str]) -> str:
    """What helps against workflows that are locked, which no change of a file does; empty when something else is wrong too."""
    locked = [found[1] for found in map(_LOCKED.search, errors) if found]
    if not locked or len(locked) < len(errors):
        return ""
    drafts = "it a draft that" if len(locked) == 1 else "them drafts that"
    return f"`secflow uninit {' '.join(locked)}` makes {drafts} can be changed; then do this again."


def _findings_of(error: CliError) -> list[Json]:
    """What the server found in a file that it refused; empty when it refused something else."""
    details = error.details if isinstance(error, Refused) else None
    found = details.get("findings") if isinstance(details, dict) else None
    return found if isinstance(found, list) else []


def export(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The workflow's id or name.")],
) -> None:
    """Write a workflow as a file, with its templates, to standard output.

    Applied again, the file changes nothing.

    \b
    Examples:
      secflow export nightly > nightly.yaml
      secflow export nightly -o json
    """
    instance = find_instance(session, name)
    if session.out.form is Format.JSON:
        session.out.data(session.client.get(READ_DOCUMENT, instance_id=instance["id"]))
        return
    text = session.client.text(READ_DOCUMENT, accept="application/yaml", instance_id=instance["id"])
    session.out.say(text.rstrip("\n"), raw=not session.out.stdout.isatty())


def _show(out: Output, answers: list[Json]) -> None:
    """What was or would be made, changed or left, and the findings."""
    if not out.is_for_people:
        out.data(answers, names=[str(answer["instance"]["id"] or "") for answer in answers])
        return
    rows: list[list[Any]] = []
    for answer in answers:
        rows += [
            ["template", f"{item['kind']} {item['name']}", item["action"], item["id"]] for item in answer["templates"]
        ]
        instance = answer["instance"]
        if instance["action"]:
            rows.append(["workflow", instance["name"], instance["action"], instance["id"]])
    if rows:
        out.table((Column("WHAT"), Column("NAME", least=12), Column("ACTION"), Column("ID", least=20)), rows)
    _show_findings(out, answers)


def _show_findings(out: Output, answers: list[Json]) -> None:
    if not out.is_for_people:
        out.data(answers, names=[])
        return
    for answer in answers:
        for item in answer["findings"]:
            word = out.styled(item["severity"], STATUS_STYLES.get(item["severity"]))
            # The offline check knows no lines, and needs no file.
            words = in_words(item, source=answer["source"], file=answer.get("file", ""))
            out.say(f"{word}: {words}", raw=True)


def _show_manifests(out: Output, answers: list[Json]) -> None:
    import yaml

    for answer in answers:
        for item in answer.get("manifests") or ():
            out.say(f"--- # node {item['node']}: {item['kind']} {item['name']}")
            out.say(yaml.safe_dump(item["manifest"], sort_keys=False, width=120).rstrip("\n"))


def add_to(app: typer.Typer) -> None:
    """Declare the commands."""
    command(app, "run", panel=PANEL)(run)
    command(app, "apply", panel=PANEL)(apply)
    command(app, "lint", panel=PANEL)(lint)
    command(app, "export", panel=PANEL)(export)
