"""What token ids stand for, read from a model's `tokenizer.json`; no tokenizer library is needed to look ids up.

- Byte-level vocabularies (GPT-2's alphabet) are turned back into text byte by byte; a token that is part of a character
  shows U+FFFD. SentencePiece's `\\u2581` is a space and `<0x0A>` a byte.
- The file is found beside the run's published weights, in the starter, in a local folder, or in the Hub's cache.
"""

import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from skyscale.wire.runs import RunSpec

STARTER_FOLDER = Path(__file__).parent.parent / "starter" / "model"
MAX_BYTES = 64 * 1024 * 1024


def token_strings(spec: RunSpec, artifact_root: str, ids: Sequence[int]) -> list[str] | None:
    """The text of each token; None when the model's tokenizer is not on this machine."""
    path = _tokenizer_of(spec, artifact_root)
    if path is None:
        return None
    stat = path.stat()
    table = _table(path, stat.st_mtime_ns, stat.st_size)
    return [table.get(id_, f"<{id_}>") for id_ in ids]


def _tokenizer_of(spec: RunSpec, artifact_root: str) -> Path | None:
    folders = [_folder_of(spec.base_model)]
    if artifact_root.startswith("file:"):
        versions = Path(unquote(urlsplit(artifact_root).path)) / "runs" / spec.run_id / "versions"
        folders += sorted(versions.glob("v*"), reverse=True)[:3]
    paths = (folder / "tokenizer.json" for folder in folders if folder is not None)
    return next((path for path in paths if path.is_file() and path.stat().st_size <= MAX_BYTES), None)


def _folder_of(base_model: str) -> Path | None:
    if base_model == "skyscale/starter":
        return STARTER_FOLDER
    if base_model.startswith(("/", "./", "../", "~")):
        return Path(base_model).expanduser()
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    snapshots = sorted((cache / f"models--{base_model.replace('/', '--')}" / "snapshots").glob("*"))
    return snapshots[-1] if snapshots else None


@functools.lru_cache(maxsize=4)
def _table(path: Path, mtime_ns: int, size: int) -> dict[int, str]:
    del mtime_ns, size  # part of the cache's key only
    return read_table(json.loads(path.read_text(encoding="utf-8")))


def read_table(tokenizer: dict[str, Any]) -> dict[int, str]:
    """Token id to text, of a parsed `tokenizer.json`."""
    model: dict[str, Any] = tokenizer.get("model") or {}
    vocabulary: Any = model.get("vocab") or {}
    pieces: dict[int, str]
    if isinstance(vocabulary, dict):
        pieces = {int(id_): str(piece) for piece, id_ in vocabulary.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    else:
        pieces = {id_: str(entry[0]) for id_, entry in enumerate(vocabulary)}
    render = (
        _from_bytes
        if "ByteLevel" in json.dumps([tokenizer.get("decoder"), tokenizer.get("pre_tokenizer")])
        else _from_piece
    )
    table = {id_: render(piece) for id_, piece in pieces.items()}
    added: list[dict[str, Any]] = tokenizer.get("added_tokens") or []
    return table | {int(token["id"]): str(token["content"]) for token in added}


def _from_piece(piece: str) -> str:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)]).decode("utf-8", "replace")
    return piece.replace("\u2581", " ")


def _from_bytes(piece: str) -> str:
    alphabet = _alphabet()
    if not all(character in alphabet for character in piece):
        return piece
    return bytes(alphabet[character] for character in piece).decode("utf-8", "replace")


@functools.cache
def _alphabet() -> dict[str, int]:
    """GPT-2's letters for bytes: printable ones stand for themselves, the others for 256 and up, in order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in set(printable)]
    return letters | {chr(256 + n): byte for n, byte in enumerate(others)}
