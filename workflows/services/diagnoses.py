"""Diagnoses on their way into the database: a sentence for people, an object for programs."""

from __future__ import annotations

from dataclasses import asdict

from k8s_bridge.diagnosis import Diagnosis


def clean(text: str) -> str:
    """The text as PostgreSQL can keep it. Programs write what they like into their termination message."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def sentence(diagnosis: Diagnosis) -> str:
    """What is wrong, in the cluster's own words too, and what to do about it."""
    parts = [part.strip() for part in (diagnosis.summary, diagnosis.detail, diagnosis.resolution) if part.strip()]
    return clean(" ".join(part if part.endswith((".", "!", "?", ":")) else f"{part}." for part in parts))


def as_data(diagnosis: Diagnosis) -> dict[str, str]:
    """The diagnosis for a JSON column."""
    return {key: clean(str(value)) for key, value in asdict(diagnosis).items()}
