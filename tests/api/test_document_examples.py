"""The workflow files that come with SecFlow: in order, without a word of complaint, and the same after an export."""

from __future__ import annotations

from pathlib import Path

import pytest

from secflow.runtime.parts import example_folder
from tests.api.conftest import Api
from tests.api.workflow_files import exported, send

FILES = sorted(example_folder().glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_can_be_applied(file: Path, admin: Api) -> None:
    text = file.read_text(encoding="utf-8")

    dry = send(admin, text, dry=True)

    assert dry["findings"] == []
    assert dry["manifests"]
    id = send(admin, text)["instance"]["id"]
    assert send(admin, text)["instance"]["action"] == "unchanged"
    assert send(admin, exported(admin, id))["instance"]["action"] == "unchanged"
