"""Write openapi.json: what the application with default settings serves."""

import json
import tempfile
from pathlib import Path

from skyscale.api.app import create_app
from skyscale.settings import Settings


def main() -> None:
    """Write the document."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(data_dir=Path(folder)))
    Path("openapi.json").write_text(json.dumps(app.openapi(), indent=1) + "\n")


if __name__ == "__main__":
    main()
