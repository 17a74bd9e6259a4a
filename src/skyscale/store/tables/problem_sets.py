"""Versions of uploaded problem sets; the problems themselves are artifacts under `problem-sets/<name>/<version>`.

A row is written before its files and is not ready until they are whole, so a crash leaves a row that is swept.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, String, Table

from skyscale.store.tables.base import Json, Serial, Time, metadata

problem_set_versions = Table(
    "problem_set_versions",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("name", String(64), nullable=False),
    Column("version", String(16), nullable=False),
    Column("content_hash", String(80), nullable=False),
    Column("is_ready", Boolean, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("counts", Json, nullable=False),
    Column("notes", Json, nullable=False),
    Column("solutions_checked", BigInteger, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("uploaded_at", Time, nullable=False),
    Index("uq_problem_set_versions_name_version", "name", "version", unique=True),
)
