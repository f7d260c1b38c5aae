"""What helps when a status forbids a verb."""

from __future__ import annotations

import itertools
import re

import pytest

from workflows.domain.remedies import remedy
from workflows.domain.statuses import InstanceStatus
from workflows.domain.transitions import ALLOWED, Verb

PAIRS = list(itertools.product(Verb, InstanceStatus))
REFUSED = [(verb, status) for verb, status in PAIRS if status not in ALLOWED[verb]]
# The verbs as the sentences name them. "to start it anew" says what a step is for, and is none itself.
NAMED = {
    Verb.UNINITIALIZE: r"uninitialize it",
    Verb.STOP: r"\bstop it",
    Verb.START: r"(?<!to )\bstart it",
    Verb.TRIGGER: r"use the trigger",
    Verb.INITIALIZE: r"(?<!un)initialize or",
    Verb.FORCE_INITIALIZE: r"anew with force",
}


@pytest.mark.parametrize(("verb", "status"), REFUSED, ids="-".join)
def test_nothing_is_advised_that_would_be_refused_too(verb: Verb, status: InstanceStatus) -> None:
    sentence = remedy(verb, status)
    named = {other: found.start() for other, text in NAMED.items() if (found := re.search(text, sentence))}

    if named:
        first = min(named, key=named.__getitem__)
        assert status in ALLOWED[first]
        # "stop it, then set it up anew with force" names a second step, which the first one allows.
        after = InstanceStatus.STOPPED if ", then " in sentence else status
        assert all(after in ALLOWED[other] for other in named if other is not first)
    else:
        assert sentence in {
            "wait until the set-up has ended",
            "it is a draft, and there is nothing to stop",
            "it is a draft, and there is nothing to remove",
        }


@pytest.mark.parametrize(("verb", "status"), [pair for pair in PAIRS if pair not in REFUSED], ids="-".join)
def test_nothing_is_advised_against_what_is_allowed(verb: Verb, status: InstanceStatus) -> None:
    with pytest.raises(KeyError):
        remedy(verb, status)
