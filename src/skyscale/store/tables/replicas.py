"""Control planes that share this database, and which of them leads.

`beats` counts a replica's signs of life: whoever watches sees it stand still, by a clock of his own. `token` rises with
every change of the leader and is compared by everything that a leader writes.
"""

from sqlalchemy import BigInteger, Column, String, Table

from skyscale.store.tables.base import Time, metadata

replicas = Table(
    "replicas",
    metadata,
    Column("replica_id", String(200), primary_key=True),
    Column("url", String(500), nullable=False),
    Column("beats", BigInteger, nullable=False),
    Column("started_at", Time, nullable=False),
    # For people: by its own clock, and compared with nothing.
    Column("beat_at", Time, nullable=True),
)

leaders = Table(
    "leaders",
    metadata,
    Column("office", String(40), primary_key=True),
    Column("holder", String(200)),
    Column("token", BigInteger, nullable=False),
    Column("beats", BigInteger, nullable=False),
    Column("since", Time, nullable=False),
)
