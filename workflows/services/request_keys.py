"""The same request twice is one run: a client that does not know how its request ended may repeat it with the same key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models.functions import Now

from workflows.models import RequestKey

KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Key:
    """One caller's key for runs of one instance. `action` is `start`, which triggers share, or `http`."""

    instance_id: str
    action: str
    caller: str
    text: str

    def is_used(self) -> bool:
        """Whether a run was accepted with this key within the last 24 hours."""
        return RequestKey.objects.filter(**self._row(), created_at__gt=Now() - KEPT).exists()

    def use(self, *, run_number: int) -> None:
        """Writes the key down in the transaction that accepts the run. Raises IntegrityError when somebody was quicker."""
        RequestKey.objects.filter(**self._row(), created_at__lte=Now() - KEPT).delete()
        RequestKey.objects.create(**self._row(), run_number=run_number, created_at=Now())

    def _row(self) -> dict[str, str]:
        return {"instance_id": self.instance_id, "action": self.action, "caller": self.caller, "key": self.text}


def forget_old_keys() -> int:
    """Removes keys that are not looked at any more. Returns how many."""
    count, _ = RequestKey.objects.filter(created_at__lte=Now() - KEPT).delete()
    return count
