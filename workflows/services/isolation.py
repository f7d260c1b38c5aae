"""Many rows in one pass: one that cannot be dealt with must not keep the others from their turn."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error, connection

from k8s_bridge.errors import ClusterError

logger = logging.getLogger(__name__)


@contextmanager
def apart(work: str, **ids: object) -> Iterator[None]:
    """An error inside is logged with the ids and ends here; the row stays due, and the next pass tries it again.

    What concerns every row is raised: a cluster that does not answer, and a database that takes no connection. Use it outside
    of a transaction, around all that is done for one row.
    """
    names = ", ".join(f"{name} {value}" for name, value in ids.items())
    try:
        yield
    except ClusterError as err:
        if err.retryable:
            raise
        logger.warning("%s of %s failed, the next pass tries again: %s", work, names, err, extra=ids)
    except Exception as err:
        logger.exception("%s of %s failed, the next pass tries again", work, names, extra=ids)
        if isinstance(err, Error):
            connection.close_if_unusable_or_obsolete()
            connection.ensure_connection()
