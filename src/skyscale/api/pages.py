"""The read-only pages, for a machine without Node: the dashboard's static export, served by the control plane itself.

- They are only there when they have been built (scripts/build_dashboard.py --export).
- Who may see them is who may read: `api.guard` asks before any file is opened. They change nothing (`SKYSCALE_READS`).
- Nothing is loaded from elsewhere, and nobody may frame them. Inline scripts are known by their hashes.
"""

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parents[1] / "dashboard_dist" / "export"
INLINE_SCRIPT = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)
FOR_EVER = "public, max-age=31536000, immutable"


def install(app: FastAPI, folder: Path = FOLDER) -> None:
    """Serve the pages of this folder, if there are any."""
    if not (folder / "index.html").is_file():
        return
    files = _Pages(directory=folder, html=True)

    async def page(request: Request) -> Response:
        path = request.url.path.lstrip("/")
        return await files.get_response(path or "index.html", request.scope)

    # Path by path: one mount for all would take what other routes answer with 405, and unknown paths of the API.
    paths = ["/"]
    for entry in sorted(folder.iterdir()):
        paths += [f"/{entry.name}", f"/{entry.name}/{{rest:path}}"] if entry.is_dir() else [f"/{entry.name}"]
    # Before the page that only lists links.
    app.router.routes[:0] = [Route(path, page, methods=["GET"], include_in_schema=False) for path in paths]


class _Pages(StaticFiles):
    """Files with the headers that pages need."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file; for what does not exist, the export's own page to a browser and the usual error to a program."""
        response = await super().get_response(path, scope)
        if response.status_code == 404 and "text/html" not in Headers(scope=scope).get("accept", ""):
            raise HTTPException(404)
        response.headers["x-content-type-options"] = "nosniff"
        if path.startswith("_next/static/"):
            response.headers["cache-control"] = FOR_EVER
        elif response.headers.get("content-type", "").startswith("text/html"):
            response.headers["cache-control"] = "no-cache"
            response.headers["content-security-policy"] = self._policy(path)
            response.headers["referrer-policy"] = "same-origin"
        return response

    def _policy(self, path: str) -> str:
        hashes: set[str] = set()
        found, _ = self.lookup_path(path if path.endswith(".html") else f"{path.rstrip('/')}/index.html".lstrip("/"))
        for script in INLINE_SCRIPT.findall(Path(found or self.lookup_path("404.html")[0]).read_text()):
            hashes.add(f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'")
        return (
            f"default-src 'self'; script-src 'self' {' '.join(sorted(hashes))}; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
        )
