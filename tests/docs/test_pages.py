"""Every command of docs/*.md, typed in order into a shell against a real SecFlow, its output compared with the page's.

How to write a page
* A block marked `console` or `sh` holds commands, in lines that begin with `$ `. A command goes on after a backslash at the end of
  a line, and in lines that begin with `> `, such as those of a here-document. All commands of a page share one bash: variables,
  functions and the folder stay.
* The lines below a command are its output, both streams together. None: the output does not matter. A line `...` stands for any
  number of lines, `...` in a line for any text. Ids, times, durations, tokens, colours and the width of spaces do not count.
* A command has to succeed, unless the next one is `$ echo $?`: then the page shows the exit code.
* A block of any language whose mark says `file=NAME`, such as ```` ```yaml file=hello.yaml ````, is written to that file before
  what comes after it.
* What happens later is waited for by the page itself, as its reader has to: `secflow run --watch`, `until ...; do sleep 1; done`.
* A block that cannot be run here says why: ```` ```console not-run="needs Docker" ````.

What there is: SECFLOW_URL (in a page, write http://127.0.0.1:10005: it is replaced, and so it is in what comes out), USERNAME and
PASSWORD of an administrator, `secflow`, `kubectl` with KUBECONFIG of the local cluster, curl, jq, and an empty folder that is HOME.
Images of the local cluster: whatever has the commands that it names, in truth those of this machine; `python:3.11-slim` is the
tests' own Python. Take a project id of the page's own, so that pages do not meet.

Only one page: `make test ARGS="tests/docs -k first-workflow"`.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.docs.comparing import difference
from tests.docs.pages import DOCS, RUN, Command, File, blocks_of, steps_of
from tests.docs.shell import Shell
from tests.stack import PASSWORD, Stack

WRITTEN = "http://127.0.0.1:10005"
PAGES = sorted(DOCS.glob("*.md"))
# Older pages have commands for other places than the reader's terminal at a running stack; they are to be moved over.
LANGUAGES = {"", "text", "json", "yaml", "sql", "python", "bash", "ini", "html", *RUN}


@pytest.mark.e2e
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if steps_of(page.read_text(encoding="utf-8"))], ids=lambda page: page.stem
)
def test_the_commands_of_the_page_do_what_it_says(page: Path, stack: Stack, tmp_path: Path) -> None:
    steps = steps_of(page.read_text(encoding="utf-8"))
    folder = tmp_path / "home"
    folder.mkdir()
    shell = Shell(folder, environment(stack, folder))
    try:
        for place, step in enumerate(steps):
            if isinstance(step, File):
                (folder / step.name).write_text(step.text, encoding="utf-8")
                continue
            output, status = shell.run(step.text.replace(WRITTEN, stack_url(stack)))
            output = [line.replace(stack_url(stack), WRITTEN) for line in output]
            where = f"{page.name}:{step.line}: $ {step.text}"
            following = steps[place + 1] if place + 1 < len(steps) else None
            is_asked = isinstance(following, Command) and following.text.strip() == "echo $?"
            assert status == 0 or is_asked, f"{where}\nexit code {status}:\n" + "\n".join(output)
            problem = difference(step.output, output)
            assert problem is None, f"{where}\n{problem}"
    finally:
        shell.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_are_marked_so_that_their_commands_are_run(page: Path) -> None:
    for block in blocks_of(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{block.line}"
        assert block.language in LANGUAGES, f"{where}: {block.language!r} is no mark that is known"
        has_prompt = any(line.startswith("$ ") for line in block.lines)
        assert not has_prompt or block.language in RUN, f"{where}: commands stand in blocks marked console or sh"
        if "not-run" in block.words:
            assert len(block.words["not-run"]) > 5, f"{where}: say why it cannot be run"


def stack_url(stack: Stack) -> str:
    return f"http://127.0.0.1:{stack.port}"


def environment(stack: Stack, home: Path) -> dict[str, str]:
    """What a reader's terminal has."""
    tools = Path(sys.executable).parent
    for tool in ("curl", "jq", "bash"):
        assert shutil.which(tool), f"the pages use {tool}: install it"
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "160",
        "SECFLOW_URL": stack_url(stack),
        "USERNAME": "admin",
        "PASSWORD": PASSWORD,
        "KUBECONFIG": stack.kubeconfig,
    }
