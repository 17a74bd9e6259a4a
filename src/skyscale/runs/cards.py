"""Puts a model card into published checkpoints, beside the files that the manifest names.

A card is about a version and no part of it: it is written when the version was evaluated and when the run ends, again
if need be, and a checkpoint that is gone, or is kept by somebody else, gets none. Trouble is logged, never raised: no
run waits for its README.
"""

import asyncio
import logging

from skyscale.artifacts.store import open_store
from skyscale.artifacts.versions import MANIFEST, version_prefix
from skyscale.errors import SkyscaleError
from skyscale.runs import queries
from skyscale.runs.model_card import CardFacts, model_card
from skyscale.runs.ports import Evaluations
from skyscale.store.engine import Database

log = logging.getLogger(__name__)
CARD = "README.md"


class Cards:
    """Writes the cards of all runs."""

    def __init__(self, database: Database, evaluations: Evaluations, artifact_root: str) -> None:
        self._database = database
        self._evaluations = evaluations
        self._artifact_root = artifact_root

    async def write(self, run_id: str, version: int) -> None:
        """Write the card of a version; version 0, the base model, has no folder to put one into."""
        if version == 0:
            return
        try:
            facts = await self._facts(run_id, version)
            if facts is not None:
                await asyncio.to_thread(_put, self._artifact_root, run_id, version, model_card(facts).encode())
        except (SkyscaleError, OSError) as error:
            log.warning("the model card of %s version %d could not be written: %s", run_id, version, error)

    async def _facts(self, run_id: str, version: int) -> CardFacts | None:
        async with self._database.read() as connection:
            run = await queries.get(connection, run_id)
            published = await queries.policy(connection, run_id, version)
            if run is None or published is None:
                return None
            return CardFacts(
                spec=run.spec,
                version=version,
                newest_version=run.newest_version,
                published_at=published[0].published_at,
                train_reward=await queries.reward_of_step(connection, run_id, version),
                evaluations=await self._evaluations.results(connection, run_id),
            )


def _put(artifact_root: str, run_id: str, version: int, card: bytes) -> None:
    store, prefix = open_store(artifact_root), version_prefix(run_id, version)
    if store.exists(f"{prefix}/{MANIFEST}"):
        store.put_bytes(f"{prefix}/{CARD}", card)
