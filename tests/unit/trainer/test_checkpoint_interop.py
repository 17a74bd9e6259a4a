"""A published version loads in transformers as it lies there, and computes the same."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import torch
import transformers

from skyscale.artifacts.store import open_store
from skyscale.artifacts.versions import open_version, publish_version
from skyscale.decoder.checkpoint import load_decoder, save_decoder
from skyscale.starter.location import MODEL_DIR


def test_a_published_version_loads_untouched_in_transformers(tmp_path: Path) -> None:
    decoder = load_decoder(MODEL_DIR)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.01)  # other weights than the starter's, so that a fallback to those would show
    save_decoder(decoder, tmp_path / "new", MODEL_DIR)
    store = open_store((tmp_path / "store").as_uri())
    published = publish_version(store, run_id="rl-x", version=1, parent=0, folder=tmp_path / "new")
    store.put_bytes("runs/rl-x/versions/v000001/README.md", b"---\ntags: []\n---\n")
    folder = Path(unquote(urlsplit(published.manifest_uri).path)).parent
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("def f(x):\n    return x", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        theirs = model(ids).logits
        again = load_decoder(folder)
        ours = again.logits(again(ids, torch.arange(ids.shape[1])[None]))
    assert torch.allclose(theirs, ours, atol=1e-4)
    assert open_version(published.manifest_uri, tmp_path / "cache").manifest.version == 1, "a card is no part of it"
