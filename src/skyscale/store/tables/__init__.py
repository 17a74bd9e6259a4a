"""All tables, one module per room; importing this package fills `metadata`."""

from skyscale.store.tables.base import metadata

__all__ = ["metadata"]
