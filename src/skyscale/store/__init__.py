"""The database: engine, transactions, tables, migrations; SQLite by default, PostgreSQL by one setting.

Owns: `engine.py`, `tables/`, `migrations/`. May import: errors, settings, wire, telemetry. Holds no product logic:
SQL of a room is in that room's `queries.py`. Start reading at `engine.py`.
"""
