"""The name of an app's function: the same on both sides. Pure."""

import re

from skyscale.errors import Invalid


def slug_of(app_name: str, endpoint_name: str) -> str:
    """`slugified(app)--slugified(endpoint)`. Raises Invalid for names without a letter or digit."""
    return f"{_slugified(app_name, 'app_name')}--{_slugified(endpoint_name, 'endpoint_name')}"


def _slugified(name: str, field: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug:
        raise Invalid(f"{field}: {name!r} has no letter or digit")
    return slug
