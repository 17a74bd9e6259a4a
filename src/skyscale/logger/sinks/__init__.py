"""Places to log to; loaded by name, never imported."""
