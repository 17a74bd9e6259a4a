"""Copy an ended run under new names, each with as many metrics reports as asked: long histories without long runs.

clone_runs.py <database> <run_id> <copies> <reports>
"""

import json
import math
import sqlite3
import sys


def main() -> None:
    """Write the copies into the control plane's SQLite file."""
    path, run_id, copies, reports = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with sqlite3.connect(path, timeout=30) as database:
        for number in range(copies):
            clone(database, run_id, f"rl-clone-{number}", number, reports)


def clone(database: sqlite3.Connection, run_id: str, name: str, number: int, reports: int) -> None:
    """One copy, and its metrics: a curve that rises, with a sawtooth of noise."""
    columns = [row[1] for row in database.execute("PRAGMA table_info(runs)")]
    values = ", ".join(
        "?" if column == "run_id" else "NULL" if column == "idempotency_key" else column for column in columns
    )
    database.execute(
        f"INSERT INTO runs ({', '.join(columns)}) SELECT {values} FROM runs WHERE run_id = ?", (name, run_id)
    )
    rows: list[tuple[str, str, int, float, float, int, str]] = []
    for step in range(1, reports + 1):
        noise = ((step * 7919 + number * 104729) % 1000) / 1000 - 0.5
        reward = 1 - math.exp(-step / (1500 + 700 * number)) * 0.8 + noise * 0.1
        metrics = json.dumps(
            {
                "entropy": 2 - reward + noise * 0.2,
                "staleness": 1 + noise,
                "tokens_per_s": 900 + 300 * noise,
                "wait_share": 0.3 + noise * 0.2,
            }
        )
        rows.append((name, "job", step, reward, noise * 0.02, step * 1000, metrics))
    database.executemany(
        "INSERT INTO training_metrics (run_id, job_id, step, episode_reward, loss, timestamp, metrics)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


if __name__ == "__main__":
    main()
