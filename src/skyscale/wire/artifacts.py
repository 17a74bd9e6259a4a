"""Files that jobs leave behind."""

from skyscale.wire.base import Reply

NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._+=@-]{0,149}$"


class JobArtifact(Reply):
    """One file of a job."""

    name: str
    url: str
    """Path below the control plane's URL from which it is downloaded."""
    uri: str
    """Its address in the artifact store."""
    size_bytes: int | None = None
    """Said when it is sent; null in lists."""
    sha256: str | None = None
    """Lower-case hexadecimal; said when it is sent."""


class JobArtifacts(Reply):
    """All files of a job, by name."""

    job_id: str
    artifacts: list[JobArtifact]
