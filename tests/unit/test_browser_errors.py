"""What the browser tests make of the driver's errors."""

from __future__ import annotations

import json

import pytest
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException

from tests.ui.browser import Errors


def answer(message: str) -> dict[str, object]:
    """A refusal as chromedriver sends it."""
    return {"status": 500, "value": json.dumps({"value": {"error": "unknown error", "message": message}})}


@pytest.mark.parametrize("said", ["Node with given id does not belong to the document", "No node with given id found"])
def test_an_element_whose_page_went_meanwhile_is_stale(said: str) -> None:
    with pytest.raises(StaleElementReferenceException, match=said):
        Errors().check_response(
            answer(f'unknown error: unhandled inspector error: {{"code":-32000,"message":"{said}"}}')
        )


def test_every_other_error_stays_what_it_is() -> None:
    with pytest.raises(WebDriverException, match="cannot find Chrome binary") as caught:
        Errors().check_response(answer("unknown error: cannot find Chrome binary"))

    assert not isinstance(caught.value, StaleElementReferenceException)
    Errors().check_response({"status": 0, "value": None})
