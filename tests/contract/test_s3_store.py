"""What S3 does to an artifact store on a bad day, against a real S3 server; the good days are in the contract suite."""

import os
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path

import pytest

from skyscale.artifacts.stores.s3 import S3Store
from skyscale.artifacts.versions import open_version, publish_version
from skyscale.errors import Forbidden, Invalid, NotFound, ProtocolError, SkyscaleError, Unavailable
from skyscale.settings import S3Settings, Settings
from tests.contract.s3_server import BUCKET, S3Server, client, environment, s3_server

ROOT = f"s3://{BUCKET}/team-a"


@pytest.fixture(scope="module")
def running_server() -> Generator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def server(running_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in environment(running_server).items():
        monkeypatch.setenv(name, value)
    running_server.fail = running_server.truncate = running_server.corrupt = 0
    S3Store(ROOT).delete_prefix("runs")
    running_server.requests.clear()
    return running_server


def test_large_files_go_up_in_parts_and_their_hash_goes_with_them(server: S3Server, tmp_path: Path):
    source = tmp_path / "weights"
    source.write_bytes(os.urandom(20_000_003))
    digest = S3Store(ROOT).put_file("big", source)
    assert sum("partNumber" in request for request in server.requests) == 3
    found = client(server).head_object(Bucket=BUCKET, Key="team-a/big")
    assert (found["ContentLength"], found["Metadata"]["sha256"]) == (20_000_003, digest.sha256)
    assert S3Store(ROOT).fetch("big", tmp_path / "back").read_bytes() == source.read_bytes()


def test_an_upload_that_breaks_off_leaves_what_was_there(server: S3Server, tmp_path: Path):
    store = S3Store(ROOT, S3Settings(retry_s=0.2))
    store.put_bytes("k", b"before")
    source = tmp_path / "weights"
    source.write_bytes(os.urandom(20_000_003))
    server.fail = 10_000
    with pytest.raises(Unavailable):
        store.put_file("k", source)
    server.fail = 0
    assert store.get_bytes("k") == b"before"


def test_a_service_that_answers_503_for_a_while_is_waited_for(server: S3Server):
    server.fail = 4
    S3Store(ROOT).put_bytes("k", b"x")
    assert server.fail == 0
    server.fail = 3
    assert S3Store(ROOT).get_bytes("k") == b"x"


def test_a_service_that_only_answers_503_is_given_up_in_time(server: S3Server):
    store = S3Store(ROOT, S3Settings(retry_s=0.5))
    server.fail = 10_000
    began = time.monotonic()
    with pytest.raises(Unavailable, match="503") as told:
        store.get_bytes("k")
    assert time.monotonic() - began < 20
    assert told.value.code == "store_unavailable"


def test_nobody_listening_is_told_in_time(server: S3Server):
    store = S3Store(ROOT, S3Settings(endpoint="http://127.0.0.1:9", retry_s=0.5))
    with pytest.raises(Unavailable):
        store.put_bytes("k", b"x")
    with pytest.raises(Unavailable):
        store.list("")


def test_a_download_that_breaks_off_goes_on_where_it_broke_off(server: S3Server, tmp_path: Path):
    data = os.urandom(5_000_001)
    store = S3Store(ROOT)
    store.put_bytes("k", data)
    server.truncate = 2
    assert store.fetch("k", tmp_path / "into").read_bytes() == data
    assert server.truncate == 0
    assert [path.name for path in tmp_path.iterdir()] == ["into"]


def test_a_download_that_always_breaks_off_ends_with_an_error_and_no_file(server: S3Server, tmp_path: Path):
    store = S3Store(ROOT, S3Settings(retry_s=0.5))
    store.put_bytes("k", b"x")
    server.truncate = 10_000
    with pytest.raises(Unavailable):
        store.fetch("k", tmp_path / "into")
    assert list(tmp_path.iterdir()) == []


def test_damage_on_the_way_is_fetched_again_and_damage_that_stays_is_refused(server: S3Server, tmp_path: Path):
    store = S3Store(ROOT)
    store.put_bytes("k", b"weights")
    server.corrupt = 1
    assert store.get_bytes("k") == b"weights"
    client(server).put_object(Bucket=BUCKET, Key="team-a/k", Body=b"WEIGHTS", Metadata={"sha256": "0" * 64})
    with pytest.raises(ProtocolError, match="damaged"):
        store.fetch("k", tmp_path / "into")
    assert list(tmp_path.iterdir()) == []


def test_wrong_keys_are_told_at_once(server: S3Server):
    store = S3Store(ROOT, S3Settings(access_key="AKIDSTRANGER", secret_key="x"))  # type: ignore[arg-type]
    for attempt in (lambda: store.put_bytes("k", b"x"), lambda: store.list(""), store.check, lambda: store.exists("k")):
        began = time.monotonic()
        with pytest.raises(Forbidden) as told:
            attempt()
        assert told.value.code == "store_denied"
        assert time.monotonic() - began < 10
    assert "S3_ACCESS_KEY" in told.value.hint


def test_a_missing_bucket_is_told_by_its_name(server: S3Server):
    store = S3Store("s3://not-there/x")
    for attempt in (lambda: store.put_bytes("k", b"x"), lambda: store.get_bytes("k"), lambda: store.list("")):
        with pytest.raises(Invalid, match="not-there"):
            attempt()
    with pytest.raises(Invalid, match="not-there"):
        store.check()


def test_a_signed_url_is_fetched_without_keys_and_expires(server: S3Server):
    store = S3Store(ROOT)
    store.put_bytes("k", b"weights")
    url = store.download_url("k", 60)
    assert url is not None
    with urllib.request.urlopen(url, timeout=10) as reply:
        assert reply.read() == b"weights"
    assert "X-Amz-Expires=60" in url
    assert "secret" not in url


def test_the_check_leaves_nothing_behind(server: S3Server):
    before = client(server).list_objects_v2(Bucket=BUCKET).get("KeyCount")
    S3Store(ROOT).check()
    assert any(request.startswith("PUT") for request in server.requests)
    assert client(server).list_objects_v2(Bucket=BUCKET)["KeyCount"] == before


def test_a_version_is_complete_only_with_its_manifest(server: S3Server, tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"w" * 100)
    store = S3Store(ROOT, S3Settings(retry_s=0.2))
    published = publish_version(store, run_id="rl-a", version=1, parent=0, folder=folder)
    puts = [request for request in server.requests if request.startswith("PUT")]
    assert puts[-1].endswith("manifest.json?")
    server.truncate = 1
    opened = open_version(published.manifest_uri, tmp_path / "cache")
    assert (opened.path / "model.safetensors").read_bytes() == b"w" * 100
    with pytest.raises(NotFound):
        store.get_bytes("runs/rl-a/versions/v000002/manifest.json")


@pytest.mark.parametrize("variables", [{"S3_ENDPOINT": "not a url"}, {"S3_SECRET_KEY": None}])
def test_settings_that_cannot_work_are_named(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str | None]
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name)
    with pytest.raises(Invalid, match=next(iter(variables))) as told:
        S3Store(ROOT)
    assert isinstance(told.value, SkyscaleError)


def test_a_bucket_is_the_artifact_root_and_excludes_a_folder(tmp_path: Path):
    assert Settings(s3_bucket="b/team/").artifact_root == "s3://b/team"
    with pytest.raises(ValueError, match="S3_BUCKET and ARTIFACT_LOCAL_DIR"):
        Settings(s3_bucket="b", artifact_dir=tmp_path)
