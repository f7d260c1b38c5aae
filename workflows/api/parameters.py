"""Headers that operations share, as the document shows them."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from workflows.api.base import DIALECT_HEADER, READINESS, SEED

DIALECT = OpenApiParameter(
    DIALECT_HEADER,
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Words in `status` of instances: the life cycle (`seed`) or readiness. Overrides the server's setting.",
    enum=[SEED, READINESS],
)
TRIGGER_TOKEN = OpenApiParameter(
    "X-Trigger-Token", OpenApiTypes.STR, OpenApiParameter.HEADER, description="The trigger secret of the instance."
)
