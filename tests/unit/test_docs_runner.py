"""The runner of the pages: what it takes for a command, and what it lets pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.comparing import difference
from tests.docs.pages import Command, File, steps_of
from tests.docs.shell import Shell

PAGE = """
# Title

```yaml file=a.yaml
a: 1
```

```console
$ one
out
...
$ two \\
    more
$ cat <<EOF
> $ not a command
> EOF
```

```console not-run="needs a cluster"
$ three
```

```bash
$ four
```
"""


def test_a_page_is_files_and_commands_in_order() -> None:
    steps = steps_of(PAGE)

    assert steps == [
        File(5, "a.yaml", "a: 1\n"),
        Command(9, "one", ["out", "..."]),
        Command(12, "two \\\n    more"),
        Command(14, "cat <<EOF\n$ not a command\nEOF"),
    ]


@pytest.mark.parametrize(
    ("shown", "came", "same"),
    [
        (["a   b"], ["a b"], True),
        (["a"], ["b"], False),
        ([], ["b"], True),
        (["a", "...", "z"], ["a", "b", "c", "z"], True),
        (["a", "...", "z"], ["a", "b", "c"], False),
        (["..."], [], True),
        (["a ... z"], ["a b z"], True),
        (["wf-inst-hello-x81m44zt"], ["wf-inst-hello-aaaaaaaa"], True),
        (["wf-inst-hello-x81m44zt"], ["wf-inst-other-aaaaaaaa"], False),
        (["wf-x81m44zt-7h2k9q0d"], ["wf-aaaaaaaa-bbbbbbbb"], True),
        (["took 1.5 s"], ["took 12 s"], True),
        (["a", ""], ["a"], True),
        (["a"], ["a", "b"], False),
    ],
)
def test_what_differs_from_run_to_run_does_not_count(shown: list[str], came: list[str], same: bool) -> None:
    assert (difference(shown, came) is None) is same


def test_commands_share_one_shell(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    shell = Shell(folder, {"PATH": "/usr/bin:/bin"})
    try:
        assert shell.run("a=1; f() { echo $a; }") == ([], 0)
        assert shell.run("f; echo err >&2") == (["1", "err"], 0)
        assert shell.run("printf x; false") == (["x"], 1)
        assert shell.run("echo $?") == (["1"], 0)
        assert shell.run("cat <<EOF\nb\nEOF\ncat") == (["b"], 0)
    finally:
        shell.close()
