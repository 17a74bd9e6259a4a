"""How every property is tested: no example depends on being fast, since machines are shared."""

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
