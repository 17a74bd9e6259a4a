"""The read-only pages, for a machine without Node: the dashboard's static export, served by the control plane itself.

- They are only there when they have been built (scripts/build_dashboard.py --export), and come after every other route.
- Who may see them is who may read: `api.guard` asks before any file is opened. They change nothing (`SKYSCALE_READS`).
- Nothing is loaded from elsewhere, and nobody may frame them. Their inline scripts are Next's own, known by this build.
"""

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parents[1] / "dashboard_dist" / "export"
INLINE_SCRIPT = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)
FOR_EVER = "public, max-age=31536000, immutable"


def install(app: FastAPI, folder: Path = FOLDER) -> None:
    """Serve the pages of this folder, if there are any, at every path that nothing else has."""
    if not (folder / "index.html").is_file():
        return
    files = _Pages(directory=folder, html=True)

    async def index(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    # Before the page that only lists links; everything else after all other routes.
    app.router.routes.insert(0, Route("/", index, methods=["GET"], include_in_schema=False))
    app.mount("/", files, name="pages")


class _Pages(StaticFiles):
    """Files with the headers that pages need."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or the export's own page for what does not exist."""
        response = await super().get_response(path, scope)
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
