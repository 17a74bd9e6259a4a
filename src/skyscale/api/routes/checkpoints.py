"""Published versions over HTTP: list them, and fetch their files."""

from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import FileResponse, RedirectResponse

from skyscale.api.deps import Caller, Parts, RunId, reply
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import require_reader
from skyscale.wire.checkpoints import CheckpointDownloads, CheckpointList

router = APIRouter(prefix="/api/rl/runs", tags=["checkpoints"], responses=RESPONSES)
Version = Annotated[int, Path(ge=1, lt=2**31)]
Name = Annotated[str, Path(max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+=@-]*$")]


@router.get(
    "/{run_id}/checkpoints",
    summary="List the versions that a run keeps",
    description="Newest first, with their files. `keep_versions` of the run says how many are kept; the best and "
    "those in use always are.",
    operation_id="list_checkpoints",
    response_model=CheckpointList,
)
async def list_checkpoints(run_id: RunId, parts: Parts, caller: Caller) -> Response:
    """What is there."""
    require_reader(caller, run_id)
    return reply(await parts.checkpoints.kept(run_id))


@router.get(
    "/{run_id}/checkpoints/{version}",
    summary="Show a version and where its files are fetched from",
    description="With artifacts on S3 every address is signed and works for an hour without credentials; else it is a "
    "path of this API. Both answer ranges, so a broken download can go on.",
    operation_id="get_checkpoint",
    response_model=CheckpointDownloads,
)
async def get_checkpoint(run_id: RunId, version: Version, parts: Parts, caller: Caller) -> Response:
    """One version."""
    require_reader(caller, run_id)
    return reply(await parts.checkpoints.downloads(run_id, version))


@router.get(
    "/{run_id}/checkpoints/{version}/files/{name}",
    summary="Fetch a file of a version",
    description="The bytes, or (307) a signed address where they are.",
    operation_id="get_checkpoint_file",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The file."},
        307: {"description": "The file is at `Location`."},
    },
)
async def get_checkpoint_file(run_id: RunId, version: Version, name: Name, parts: Parts, caller: Caller) -> Response:
    """The bytes, or where they are."""
    require_reader(caller, run_id)
    found = await parts.checkpoints.file(run_id, version, name)
    if isinstance(found, FilePath):
        return FileResponse(found, media_type="application/octet-stream", filename=name)
    return RedirectResponse(found, 307)
