"""docs/algorithms.md knows every preset, its papers, and every field."""

from pathlib import Path

import pytest

from skyscale.wire.algorithms import PRESETS, Algorithm

TEXT = (Path(__file__).parents[2] / "docs" / "algorithms.md").read_text()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_row_with_its_papers(name):
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `{name}` |")]
    assert all(paper in row for paper in PRESETS[name].papers)


def test_every_field_is_explained():
    missing = [field for field in Algorithm.model_fields if f"`{field}`" not in TEXT]
    assert missing == []
