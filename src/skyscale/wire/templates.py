"""Templates of jobs: the reply to `GET /api/templates`."""

from skyscale.wire.base import Reply
from skyscale.wire.jobs import TrainingJobCreate


class JobTemplate(Reply):
    """A job to begin from."""

    name: str
    summary: str
    body: TrainingJobCreate
    """To be sent to `POST /api/training/jobs`, changed as needed."""


class TemplateList(Reply):
    """All templates."""

    templates: list[JobTemplate]
