"""A PostgreSQL with an empty database until standard input ends; the first line is its DATABASE_URL, or `missing`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.postgres import PostgresServer, find_binaries

binaries = find_binaries()
if binaries is None:
    sys.stdout.write("missing\n")
    sys.stdout.flush()
    sys.exit()
server = PostgresServer(binaries)
try:
    server.start()
    sys.stdout.write(f"{server.url(server.create_database())}\n")
    sys.stdout.flush()
    sys.stdin.read()
finally:
    server.stop()
