"""A principal is who makes a call; three kinds, and the pure rules of what each may do.

- An operator may do everything that its scope reaches: the owner of this machine, a signed-in person, an API key.
- A job may do what its role needs, for its own run, and read its own run.
- An anonymous caller may read when reading is open, and change nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from skyscale.errors import Forbidden, Unauthorized
from skyscale.wire.jobs import JobRole
from skyscale.wire.keys import Scope


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes this call."""

    kind: Literal["operator", "job", "anonymous"]
    run_id: str | None = None
    """Jobs: the run it belongs to; null for a custom job."""
    job_id: str | None = None
    role: JobRole | None = None
    attempt: int | None = None
    """Jobs: which start of the job this process is."""
    scope: Scope = Scope.ADMIN
    """Operators: how far their credentials reach; the door (`api.guard`) has compared it with the method already."""
    user: str | None = None
    """Operators: whose session or key it is, where that is known."""
    key_id: str | None = None
    """Operators: the API key that was sent."""


OPERATOR = Principal("operator")
ANONYMOUS = Principal("anonymous")


def require_operator(principal: Principal) -> None:
    """Raise unless an operator calls."""
    if principal.kind == "anonymous":
        raise Unauthorized
    if principal.kind != "operator":
        raise Forbidden("a job's token does not open this")


def require_role(principal: Principal, run_id: str | None, roles: Collection[JobRole]) -> None:
    """Raise unless an operator calls, or a job of this run in one of these roles."""
    if principal.kind == "anonymous":
        raise Unauthorized
    if principal.kind == "operator":
        return
    if principal.run_id != run_id or run_id is None:
        raise Forbidden("this token belongs to another run")
    if principal.role not in roles:
        raise Forbidden(f"a {principal.role} job may not do this")


def require_job(principal: Principal, job_id: str) -> None:
    """Raise unless an operator calls, or exactly this job."""
    if principal.kind == "anonymous":
        raise Unauthorized
    if principal.kind == "job" and principal.job_id != job_id:
        raise Forbidden("this token belongs to another job")


def require_reader(principal: Principal, run_id: str | None) -> None:
    """Raise if a job reads what is not its own run's; reading is open to everyone else."""
    if principal.kind == "job" and (run_id is None or principal.run_id != run_id):
        raise Forbidden("this token belongs to another run")
