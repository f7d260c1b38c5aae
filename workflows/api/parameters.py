"""Headers that operations share, as the document shows them."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from workflows.api.base import DIALECT_HEADER, KEY_HEADER, READINESS, SEED

DIALECT = OpenApiParameter(
    DIALECT_HEADER,
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Words in `status` of instances: the life cycle (`seed`) or readiness. Overrides the server's setting.",
    enum=[SEED, READINESS],
)
IDEMPOTENCY_KEY = OpenApiParameter(
    KEY_HEADER,
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Any text of 1 to 255 visible ASCII characters, new for each run that is wanted. A request that is repeated"
    " with the same key within 24 hours, by the same caller and for the same instance, starts no second run; start and trigger"
    " share their keys.",
)
TRIGGER_TOKEN = OpenApiParameter(
    "X-Trigger-Token", OpenApiTypes.STR, OpenApiParameter.HEADER, description="The trigger secret of the instance."
)
