"""A run on an uploaded problem set, from upload to the end, through the public API, with a curriculum."""

import json
import socket
from pathlib import Path

import pytest

from skyscale.envs.registry import load_problem_set
from skyscale.errors import Conflict, Invalid
from skyscale.wire.problem_sets import ProblemSetUpload
from skyscale.wire.runs import Algorithm, Curriculum, Evaluation, RunCreate, RunStatus
from tests.e2e.conftest import ControlPlane, wait_for

pytestmark = pytest.mark.timeout(240)
STEPS = 8


def own_set(path: Path) -> set[str]:
    """Some problems of the embedded set under other names; the split is left to the upload."""
    chosen = [p for p in load_problem_set().train("easy") if p.style == "calls"][:40]
    lines = [
        p.model_dump(mode="json", exclude={"split", "family"}) | {"id": f"own-{p.id}", "tags": ["own"]} for p in chosen
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {str(line["id"]) for line in lines}


def test_a_run_trains_on_an_uploaded_set_through_a_restart(control_plane: ControlPlane, tmp_path: Path) -> None:
    client = control_plane.client
    ids = own_set(tmp_path / "own.jsonl")
    told: list[str] = []
    options = ProblemSetUpload(name="own", heldout_fraction=0.2)
    uploaded = client.upload_problem_set(tmp_path / "own.jsonl", options, lambda phase, *_: told.append(phase))
    assert uploaded.created
    assert uploaded.version.counts.problems == 40
    assert uploaded.version.solutions_checked > 40
    assert set(told) == {"sending", "solutions"}
    assert not client.upload_problem_set(tmp_path / "own.jsonl", options).created
    request = RunCreate(
        problem_set="own", max_steps=STEPS, algorithm=Algorithm(groups_per_step=8), seed=3,
        evaluation=Evaluation(num_problems=4, samples_per_problem=2),
        curriculum=Curriculum(after_groups=1, solved_above=0.6, hopeless_below=0.05),
    )  # fmt: skip
    created = client.create_run(request)
    assert created.spec.problem_set == uploaded.version.ref
    wait_for(lambda: client.get_run(created.run_id).policy_version >= 2, 90, "the second version")
    with pytest.raises(Conflict, match=created.run_id):
        client.delete_problem_set("own")
    control_plane.kill()
    control_plane.start()
    view = control_plane.wait_for_end(created.run_id, 150)
    assert view.status == RunStatus.COMPLETED, control_plane.story(created.run_id)
    assert view.policy_version == STEPS
    assert [result.num_problems for result in view.evaluations] == [4, 4]
    assert {sample.problem_id for sample in client.evaluation(created.run_id, 0)} <= ids
    assert view.curriculum is not None
    counts = view.curriculum.model_dump()
    assert sum(counts.values()) == uploaded.version.counts.by_split["train"]
    assert counts["solved"] + counts["hopeless"] > 0
    kinds = [event.kind for event in client.events(created.run_id, limit=500).events]
    assert "curriculum.counted" in kinds
    client.delete_problem_set("own")
    assert [each.name for each in client.problem_sets().problem_sets] == ["embedded"]
    assert client.get_run(created.run_id).curriculum is None


def test_uploads_that_are_too_large_or_break_off_leave_nothing(control_plane: ControlPlane, tmp_path: Path) -> None:
    uploads = control_plane.folder / "problem-uploads"
    for announced, number in ((1 << 30, 20), (1 << 24, 20)):
        head = f"POST /api/rl/problem-sets?name=x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {announced}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", control_plane.port), timeout=10) as caller:
            caller.sendall(head.encode())
            if announced > 1 << 28:
                assert b"413" in caller.recv(4096)
                continue
            for _ in range(number):
                caller.sendall(b"x" * 65536)
            wait_for(lambda: any(uploads.glob("*/*/source.jsonl")), 10, "the upload to begin")
    wait_for(lambda: not any(uploads.glob("*/upload-*")), 10, "the broken upload to vanish")
    (tmp_path / "bad.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(Invalid, match="line 1: prompt"):
        control_plane.client.upload_problem_set(tmp_path / "bad.jsonl", ProblemSetUpload(name="x"))
    assert not any(uploads.glob("*/*")), "only the folder of this control plane itself is left"
