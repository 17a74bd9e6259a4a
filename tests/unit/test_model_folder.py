"""A base model that a run could not use is refused before anything is started, with what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from skyscale.artifacts.model_folder import require_trainable
from skyscale.errors import Invalid
from skyscale.starter.location import MODEL_DIR


def _template_away(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    _edit(folder / "tokenizer_config.json", chat_template=None)


def _edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODEL_DIR, tmp_path / "model"))


def test_the_starter_is_fine_and_so_is_a_template_inside_the_configuration(folder: Path):
    require_trainable(folder)
    _template_away(folder)
    _edit(folder / "tokenizer_config.json", chat_template=[{"name": "default", "template": "x"}])
    require_trainable(folder)


@pytest.mark.parametrize(
    ("spoil", "code", "advice"),
    [
        (_template_away, "no_chat_template", "chat_template.jinja"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer_unsupported", "save_pretrained"),
        (lambda folder: _edit(folder / "config.json", vocab_size=100), "vocabulary_mismatch", "tokenizer"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "model_unreadable", ""),
    ],
)
def test_what_is_missing_is_named(folder: Path, spoil: Callable[[Path], object], code: str, advice: str):
    spoil(folder)
    with pytest.raises(Invalid) as caught:
        require_trainable(folder)
    assert caught.value.code == code
    assert advice in caught.value.hint
