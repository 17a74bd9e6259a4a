"""What every artifact store promises, checked against each leaf; `_STORES` is where a new leaf joins."""

import os
import resource
import secrets
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.artifacts.store import ArtifactStore, checked_key, open_store, open_uri
from skyscale.artifacts.versions import open_version, prune_versions, publish_version
from skyscale.errors import Invalid, NotFound, ProtocolError, Unavailable
from tests.contract.s3_server import BUCKET, environment, s3_server

_STORES: dict[str, Callable[[Path], str]] = {
    "file": lambda tmp_path: (tmp_path / "a store").as_uri(),
    "s3": lambda tmp_path: f"s3://{BUCKET}/{secrets.token_hex(6)}",
}


@pytest.fixture(scope="module")
def s3() -> Generator[dict[str, str]]:
    with s3_server() as server:
        yield environment(server)


@pytest.fixture(params=sorted(_STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    if request.param == "s3":
        for name, value in request.getfixturevalue("s3").items():
            monkeypatch.setenv(name, value)
    return open_store(_STORES[request.param](tmp_path))


def _folder(tmp_path: Path, weights: bytes) -> Path:
    folder = tmp_path / "to publish"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def _local_path(store: ArtifactStore, key: str, tmp_path: Path) -> Path:
    return store.fetch(key, tmp_path / "fetched" / key)


def test_bytes_and_files_come_back_as_they_were_put(store: ArtifactStore, tmp_path: Path):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_001))
    by_file = store.put_file("a/b/file.bin", source)
    by_bytes = store.put_bytes("a/b/bytes.bin", source.read_bytes())
    view = memoryview(source.read_bytes())
    by_pieces = store.put_pieces("a/b/pieces.bin", iter([view[:7], b"", view[7:2_000_000], bytes(view[2_000_000:])]))
    assert by_file == by_bytes == by_pieces
    assert store.get_bytes("a/b/pieces.bin") == source.read_bytes()
    assert by_file.size_bytes == 3_000_001
    assert store.get_bytes("a/b/file.bin") == source.read_bytes()
    assert _local_path(store, "a/b/bytes.bin", tmp_path).read_bytes() == source.read_bytes()


def test_putting_again_replaces_whole_bytes(store: ArtifactStore):
    store.put_bytes("k", b"long old bytes")
    store.put_bytes("k", b"new")
    assert store.get_bytes("k") == b"new"


def test_the_same_bytes_under_another_key_outlive_the_first(store: ArtifactStore, tmp_path: Path):
    store.put_bytes("a/k", b"one")
    store.put_bytes("b/k", b"before")
    for _ in range(2):
        store.put_same("b/k", "a/k")
        assert store.get_bytes("b/k") == _local_path(store, "b/k", tmp_path).read_bytes() == b"one"
    store.put_bytes("a/k", b"two")
    assert store.get_bytes("b/k") == b"one"
    store.put_same("b/k", "a/k")
    store.delete_prefix("a")
    assert store.list("") == ["b/k"]
    assert store.get_bytes("b/k") == b"two"
    with pytest.raises(NotFound):
        store.put_same("b/k", "a/k")
    assert store.get_bytes("b/k") == b"two"


def test_a_file_system_without_links_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError

    store = open_store(_STORES["file"](tmp_path))
    store.put_bytes("a/k", b"one")
    monkeypatch.setattr(os, "link", refuse)
    store.put_same("b/k", "a/k")
    store.delete_prefix("a")
    assert store.get_bytes("b/k") == b"one"


def test_no_put_leaves_anything_behind(tmp_path: Path):
    store = open_store(_STORES["file"](tmp_path))
    store.put_bytes("a/k", b"one")
    for _ in range(2):
        store.put_same("b/k", "a/k")
    assert not list((tmp_path / "a store" / ".incoming").iterdir())


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path):
    store = open_store(_STORES["file"](tmp_path))
    store.put_bytes("a/k", b"one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(Unavailable, match="no room for a/k") as told:
            store.put_pieces("a/k", [b"x" * 60_000] * 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert told.value.code == "disk_full"
    assert store.get_bytes("a/k") == b"one"
    assert not list((tmp_path / "a store" / ".incoming").iterdir())


def test_a_put_whose_source_breaks_leaves_nothing(tmp_path: Path):
    def pieces() -> Generator[bytes]:
        yield b"half"
        raise ConnectionError

    store = open_store(_STORES["file"](tmp_path))
    with pytest.raises(ConnectionError):
        store.put_pieces("a/k", pieces())
    assert store.list("") == []
    assert not list((tmp_path / "a store" / ".incoming").iterdir())


def test_what_a_killed_process_left_goes_when_nobody_can_be_writing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = open_store(_STORES["file"](tmp_path))
    store.put_bytes("a/k", b"one")
    incoming = tmp_path / "a store" / ".incoming"
    (incoming / "half a file").write_bytes(b"half")
    (incoming / "half deleted" / "v1").mkdir(parents=True)
    store.check()
    assert len(list(incoming.iterdir())) == 2
    monkeypatch.setattr("skyscale.artifacts.stores.local._ABANDONED_S", -1.0)
    store.check()
    assert not list(incoming.iterdir())
    assert store.get_bytes("a/k") == b"one"


def test_missing_keys_are_not_found(store: ArtifactStore, tmp_path: Path):
    store.put_bytes("folder/k", b"x")
    assert not store.exists("folder")
    assert not store.exists("folder/other")
    with pytest.raises(NotFound):
        store.get_bytes("folder")
    with pytest.raises(NotFound):
        _local_path(store, "nothing", tmp_path)


def test_listing_is_by_folder_and_sorted(store: ArtifactStore):
    for key in ("runs/b/2", "runs/b/1", "runs/bb/1", "other"):
        store.put_bytes(key, b"x")
    assert store.list("runs/b") == ["runs/b/1", "runs/b/2"]
    assert store.list("") == ["other", "runs/b/1", "runs/b/2", "runs/bb/1"]
    assert store.list("absent") == []


def test_deleting_a_prefix_spares_its_neighbours(store: ArtifactStore):
    for key in ("runs/b/1", "runs/bb/1"):
        store.put_bytes(key, b"x")
    store.delete_prefix("runs/b")
    store.delete_prefix("runs/absent")
    assert store.list("") == ["runs/bb/1"]
    store.delete_prefix("runs/bb/1")
    assert store.list("") == []


def test_a_uri_opens_the_same_bytes_elsewhere(store: ArtifactStore):
    store.put_bytes("runs/r/manifest.json", b"x")
    elsewhere, key = open_uri(store.uri("runs/r/manifest.json"))
    assert elsewhere.get_bytes(key) == b"x"


@pytest.mark.parametrize("key", ["", "/etc/x", "../x", "a/../../x", "a//b", "a/.hidden", ".incoming/x", "a\0b", "a/"])
def test_keys_that_could_leave_the_store_are_refused(store: ArtifactStore, key: str):
    with pytest.raises(Invalid):
        store.put_bytes(key, b"x")


@given(st.text(alphabet="a.b/-\\~ \n", max_size=12))
def test_an_accepted_key_stays_below_any_root(key: str):
    try:
        checked_key(key)
    except Invalid:
        return
    root = Path("/srv/a store")
    assert os.path.normpath(root / key).startswith(f"{root}/")


def test_a_scheme_without_a_store_is_refused_by_name():
    with pytest.raises(Invalid, match="gopher"):
        open_store("gopher://host/x")
    with pytest.raises(Invalid, match="another machine"):
        open_store("file://host/x")


def test_a_published_version_opens_verified(store: ArtifactStore, tmp_path: Path):
    published = publish_version(store, run_id="rl-a", version=1, parent=0, folder=_folder(tmp_path, b"w" * 10))
    opened = open_version(published.manifest_uri, tmp_path / "cache")
    assert (opened.manifest.version, opened.manifest.parent, opened.manifest.run_id) == (1, 0, "rl-a")
    assert (opened.path / "model.safetensors").read_bytes() == b"w" * 10
    assert {file.name for file in opened.manifest.files} == {"config.json", "model.safetensors"}


def test_publishing_the_same_files_again_keeps_the_manifest_and_other_files_replace_it(
    store: ArtifactStore, tmp_path: Path
):
    first = publish_version(store, run_id="rl-a", version=1, parent=0, folder=_folder(tmp_path, b"one"))
    again = publish_version(store, run_id="rl-a", version=1, parent=0, folder=_folder(tmp_path, b"one"))
    other = publish_version(store, run_id="rl-a", version=1, parent=0, folder=_folder(tmp_path, b"two"))
    assert first == again
    assert other.manifest_sha256 != first.manifest_sha256
    assert (open_version(other.manifest_uri, tmp_path / "c").path / "model.safetensors").read_bytes() == b"two"


@pytest.mark.parametrize("damage", [b"V" * 10, b"w" * 9, None])
def test_a_damaged_version_is_refused_by_the_name_of_its_file(
    store: ArtifactStore, tmp_path: Path, damage: bytes | None
):
    published = publish_version(store, run_id="rl-a", version=1, parent=0, folder=_folder(tmp_path, b"w" * 10))
    key = "runs/rl-a/versions/v000001/model.safetensors"
    if damage is None:
        store.delete_prefix(key)
    else:
        store.put_bytes(key, damage)
    with pytest.raises(ProtocolError, match=r"model\.safetensors"):
        open_version(published.manifest_uri, tmp_path / "cache")


def test_a_version_without_its_manifest_does_not_open(store: ArtifactStore, tmp_path: Path):
    published = publish_version(store, run_id="rl-a", version=1, parent=0, folder=_folder(tmp_path, b"w"))
    store.put_bytes("runs/rl-a/versions/v000001/manifest.json", b'{"run_id": 3}')
    with pytest.raises(ProtocolError, match=r"manifest\.json"):
        open_version(published.manifest_uri, tmp_path / "cache")
    store.delete_prefix("runs/rl-a/versions/v000001/manifest.json")
    with pytest.raises(ProtocolError, match=r"manifest\.json"):
        open_version(published.manifest_uri, tmp_path / "cache")


def test_pruning_keeps_the_newest_and_those_in_use(store: ArtifactStore, tmp_path: Path):
    folder = _folder(tmp_path, b"w")
    for version in range(1, 7):
        publish_version(store, run_id="rl-a", version=version, parent=version - 1, folder=folder)
    assert prune_versions(store, "rl-a", 2, in_use={2}) == [1, 3, 4]
    left = {key.split("/")[3] for key in store.list("runs/rl-a")}
    assert left == {"v000002", "v000005", "v000006"}


def test_a_store_that_works_passes_its_check(store: ArtifactStore):
    store.check()
    assert store.list("") == []
