"""The table of templates: small HTTP services in plain Python, each a file of `programs/` that needs no packages.

The program travels in a variable and is started without a shell, so no image has to be built or pushed.
"""

from dataclasses import dataclass
from pathlib import Path

from skyscale.errors import NotFound
from skyscale.wire.services import ServiceTemplate

IMAGE = "python:3.11-slim"
PORT = 8080
PROGRAM = "SKYSCALE_PROGRAM"
COMMAND = f"""python -u -c "import os; exec(compile(os.environ['{PROGRAM}'], 'program', 'exec'))" """.strip()
HEALTH = "/health"
FOLDER = Path(__file__).parent / "programs"


@dataclass(frozen=True, slots=True)
class Template:
    """A template and its program."""

    view: ServiceTemplate

    @property
    def program(self) -> str:
        """Its source."""
        return (FOLDER / f"{self.view.name.replace('-', '_')}.py").read_text()


def _made(
    name: str, title: str, description: str, *, path: str = "/", body: str | None = None, **variables: str
) -> tuple[str, Template]:
    view = ServiceTemplate(
        name=name, title=title, description=description, image=IMAGE, port=PORT, test_path=path,
        test_method="GET" if body is None else "POST", test_body=body, variables=variables,
    )  # fmt: skip
    return name, Template(view)


TEMPLATES = dict(
    (
        _made("python-fn", "Python function", "POST a JSON object to FUNCTION, an expression over `event`",
              body='{"numbers": [1, 2, 3]}', FUNCTION="{'sum': sum(event['numbers'])}"),
        _made("webhook-worker", "Webhook worker", "takes webhooks at once, works on them one after the other",
              path="/hooks", body='{"kind": "test"}', WORK_S="0.1"),
        _made("embeddings-api", "Embeddings", "hashed word vectors of texts; no model, the same on every machine",
              path="/embed", body='{"texts": ["a small test"]}', DIMENSIONS="256"),
        _made("cron-job-runner", "Cron job", "runs COMMAND every EVERY_S seconds and shows the last results",
              COMMAND="date -u", EVERY_S="60"),
    )
)  # fmt: skip


def template_of(name: str) -> Template:
    """The template of that name. Raises NotFound with the names that exist."""
    found = TEMPLATES.get(name)
    if found is None:
        raise NotFound(
            f"there is no template {name!r}", code="template_not_found", hint=f"Use one of: {', '.join(TEMPLATES)}."
        )
    return found
