"""Generated documents say what the code says."""

import json
from pathlib import Path

from skyscale.api.app import create_app
from skyscale.settings import JobSettings, Settings

ROOT = Path(__file__).parents[2]


def test_openapi_json_is_what_the_application_serves(tmp_path: Path) -> None:
    served = create_app(Settings(data_dir=tmp_path)).openapi()
    kept = json.loads((ROOT / "openapi.json").read_text())
    assert kept == json.loads(json.dumps(served)), "run: python scripts/openapi.py"


def test_every_operation_is_described(tmp_path: Path) -> None:
    for path, operations in create_app(Settings(data_dir=tmp_path)).openapi()["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), f"{method} {path} has no summary"
            assert operation.get("description"), f"{method} {path} has no description"


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    for model in (Settings, JobSettings):
        for field in model.model_fields.values():
            assert f"`{field.alias}`" in text, "run: python scripts/settings_reference.py"
            meaning = " ".join((field.description or "").split())
            assert meaning and meaning in text, "run: python scripts/settings_reference.py"
