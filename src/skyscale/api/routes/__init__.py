"""One module per noun, each with a `router`; `api.app` includes them all."""
