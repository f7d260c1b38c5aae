"""Diagnoses on their way into the database: a sentence for people, an object for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from k8s_bridge.diagnosis import Category, Diagnosis


def clean(text: str) -> str:
    """The text as PostgreSQL can keep it. Programs write what they like into their termination message."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def clean_data(value: Any) -> Any:
    """A JSON value as PostgreSQL can keep it: every text in it is cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): clean_data(item) for key, item in value.items()}
    return [clean_data(item) for item in value] if isinstance(value, list) else value


def sentence(diagnosis: Diagnosis) -> str:
    """What is wrong, in the cluster's own words too, and what to do about it."""
    parts = [part.strip() for part in (diagnosis.summary, diagnosis.detail, diagnosis.resolution) if part.strip()]
    return clean(" ".join(part if part.endswith((".", "!", "?", ":")) else f"{part}." for part in parts))


def as_data(diagnosis: Diagnosis) -> dict[str, str]:
    """The diagnosis for a JSON column."""
    return {key: clean(str(value)) for key, value in asdict(diagnosis).items()}


def from_data(data: Mapping[str, str] | None) -> Diagnosis | None:
    """The diagnosis that was kept, None when there is none."""
    if not data or data.get("category") not in set(Category):
        return None
    return Diagnosis(Category(data["category"]), data["summary"], data["detail"], data["resolution"])
