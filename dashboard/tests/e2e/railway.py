"""The Railway of the tests until standard input ends; the first line is its address and its token."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.contract.railway_server import TOKEN, RailwayServer

with tempfile.TemporaryDirectory() as folder:
    railway = RailwayServer(Path(folder))
    try:
        sys.stdout.write(f"{railway.url} {TOKEN}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        railway.close()
