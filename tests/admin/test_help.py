"""Documents in the console: for whoever is signed in, with links that stay inside."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from secflow.console.help import DOCS, error_url
from tests.admin.conftest import signed_in, staff

SLUGS = sorted(file.stem for file in DOCS.glob("*.md"))


@pytest.mark.parametrize("slug", SLUGS)
def test_every_document_opens_and_its_links_lead_to_others(admin: Client, slug: str) -> None:
    page = admin.get(f"/admin/help/{slug}/").content.decode()

    assert 'class="help-text"' in page
    article = page.partition('<article class="help-text">')[2].partition("</article>")[0]
    for target in re.findall(r'href="(/admin/help/[^"#]*)', article):
        assert admin.get(target).status_code == 200


def test_pictures_of_the_documents_are_shown(admin: Client) -> None:
    pictures = re.findall(r'<img src="([^"]*)" alt="[^"]+"', admin.get("/admin/help/concepts/").content.decode())

    assert pictures
    for address in pictures:
        answer = admin.get(address)
        assert (answer.status_code, answer["Content-Type"]) == (200, "image/svg+xml")
        assert answer["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert admin.get("/admin/help/pictures/nothing.svg").status_code == 404
    assert Client().get(pictures[0])["Location"].startswith("/admin/login/")


def test_documents_are_for_people_who_are_signed_in(db: None) -> None:
    assert Client().get("/admin/help/errors/")["Location"].startswith("/admin/login/")
    assert signed_in(staff("anybody")).get("/admin/help/errors/").status_code == 200


@pytest.mark.parametrize("slug", ["nothing", "README", "..%2f..%2fREADME", "errors.md"])
def test_nothing_but_documents_can_be_read(admin: Client, slug: str) -> None:
    assert admin.get(f"/admin/help/{slug}/").status_code == 404


def test_a_section_is_linked_by_its_code() -> None:
    assert error_url("image_pull") == "/admin/help/errors/#image_pull"
    assert error_url("NOT_FOUND") == "/admin/help/errors/#not_found"
    assert error_url('"><script>') == "/admin/help/errors/"


def test_pictures_of_documents_are_shown(admin: Client) -> None:
    page = admin.get("/admin/help/concepts/").content.decode()
    addresses = re.findall(r'<img src="([^"]+)" alt="Statuses of ', page)

    assert len(addresses) == 3
    for address in addresses:
        picture = admin.get(address)
        assert (picture.status_code, picture["Content-Type"]) == (200, "image/svg+xml")
    assert admin.get("/admin/help/pictures/nothing.svg").status_code == 404
    assert Client().get(addresses[0]).status_code == 302
