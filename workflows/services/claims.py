"""Claims: who talks to the cluster about which launch, and until when (contract H.5).

A claim is a lease with a token. The database's clock decides how long it holds, so a process whose own clock is wrong cannot
take one over early; a result counts only while the token is still the row's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection

from k8s_bridge.specs import Owner, WorkloadSpec
from workflows.domain.statuses import RunPurpose
from workflows.services.cluster import installation_uid
from workflows.services.statements import Rows, Statements

# A worker that died is replaced after this time; one that lives renews its leases long before.
LEASE = timedelta(seconds=15)
RENEWAL = 4.0  # seconds between renewals


@dataclass(slots=True)
class Lease:
    """Until when, by this process's monotonic clock, a claim surely holds. All claims of one message share it."""

    until: float

    @classmethod
    def from_now(cls) -> Lease:
        """A lease that the database grants after this moment lasts at least until then."""
        return cls(time.monotonic() + LEASE.total_seconds())


@dataclass(frozen=True, slots=True)
class Claim:
    """One launch that this process holds until its lease is over."""

    workload_id: int
    token: int
    tries: int
    instance_id: str
    node_id: str
    spec: WorkloadSpec
    owner: Owner
    is_setup: bool
    lease: Lease


def claim_launches(workload_ids: Sequence[int]) -> list[Claim]:
    """Takes the lease of every workload among these that is launching and not held; one statement.

    A row that somebody has locked is passed over: waiting for it while holding others is how deadlocks come about, and it is due
    again soon.
    """
    lease = Lease.from_now()
    claims: list[Claim] = []
    statements = Statements()
    statements.add(
        _CLAIM,
        {"ids": list(workload_ids), "lease": LEASE},
        lambda rows, _: claims.extend(claims_of(rows, lease)),
    )
    statements.send()
    return claims


def claims_of(rows: Rows, lease: Lease) -> list[Claim]:
    """Claims from rows of: workload id, token, tries, instance id, node id, run number, spec, purpose, project id."""
    installation = installation_uid()
    return [
        Claim(
            workload_id=workload_id,
            token=token,
            tries=tries,
            instance_id=instance_id,
            node_id=node_id,
            spec=WorkloadSpec.from_json(_json(spec)),
            owner=Owner(
                installation=installation,
                project_id=project_id,
                instance_id=instance_id,
                node_id=node_id,
                run=run_number,
                attempt=workload_id,
            ),
            is_setup=purpose == RunPurpose.SETUP,
            lease=lease,
        )
        for workload_id, token, tries, instance_id, node_id, run_number, spec, purpose, project_id in rows
    ]


_CLAIM = """
UPDATE secflow_platform_workflow_workload AS w
   SET lease_until = now() + %(lease)s, lease_token = w.lease_token + 1, tries = w.tries + 1, due_at = now() + %(lease)s
  FROM secflow_platform_workflow_node_run AS n, secflow_platform_workflow_run AS r,
       secflow_platform_workflow_workflow_instance AS i
 WHERE w.id IN (
         SELECT id FROM secflow_platform_workflow_workload
          WHERE id = ANY(%(ids)s) AND state = 'launching' AND (lease_until IS NULL OR lease_until < now())
          ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
   AND n.id = w.node_run_id AND r.id = n.run_id AND i.id = w.instance_id
RETURNING w.id, w.lease_token, w.tries, w.instance_id, w.node_id, w.run_number, n.spec, r.purpose, i.project_id
"""


def renew_claims(claims: Sequence[Claim]) -> None:
    """Prolongs leases that are still ours; one that somebody took over stays theirs. One statement."""
    renewed = Lease.from_now()
    parameters: dict[str, Any] = {
        "ids": [claim.workload_id for claim in claims],
        "tokens": [claim.token for claim in claims],
        "lease": LEASE,
    }
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, parameters)
        if cursor.rowcount == len(claims):
            claims[0].lease.until = renewed.until


_RENEW = """
UPDATE secflow_platform_workflow_workload AS w
   SET lease_until = now() + %(lease)s, due_at = CASE WHEN w.state = 'launching' THEN now() + %(lease)s ELSE w.due_at END
 WHERE w.id IN (
         SELECT held.id
           FROM secflow_platform_workflow_workload AS held
           JOIN unnest(%(ids)s::bigint[], %(tokens)s::int[]) AS mine(id, token)
             ON held.id = mine.id AND held.lease_token = mine.token
          WHERE held.lease_until IS NOT NULL ORDER BY held.id FOR NO KEY UPDATE OF held SKIP LOCKED)
"""


def _json(value: Any) -> dict[str, Any]:
    """A plain cursor gives JSON as text."""
    return dict(json.loads(value) if isinstance(value, str) else value)
