"""One running SecFlow for all pages and no longer. Each page has a project's worth of it: use a project id of the page's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack import Stack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # The pages show the outcome of a verb in its answer; a busy machine may need longer for it than is usual.
    with running_stack(tmp_path_factory.mktemp("docs") / "data", env={"WAIT_SECONDS": "25"}) as running:
        yield running
