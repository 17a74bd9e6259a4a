"""All tables, one module per room; importing this package fills `metadata`."""

from importlib import import_module
from pkgutil import iter_modules

from skyscale.store.tables.base import metadata

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["metadata"]
