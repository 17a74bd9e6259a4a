"""Builds a trainer from a job's assignment: the one place that knows all its parts."""

import os
import shutil
from pathlib import Path

import torch

from skyscale.artifacts.store import open_store
from skyscale.decoder.checkpoint import load_decoder
from skyscale.decoder.models import resolve_model
from skyscale.sdk.jobs import JobClient
from skyscale.settings import JobSettings
from skyscale.telemetry import logs
from skyscale.trainer.loop import Trainer
from skyscale.trainer.step import Learner
from skyscale.wire.jobs import JobAssignment


def train_job(settings: JobSettings, *, device: str, threads: int, scratch: Path) -> None:
    """Fetch the assignment and train until the run wants to finish. Raises Gone when the job must end at once."""
    with JobClient.from_settings(settings) as client:
        assignment = client.assignment()
        logs.of_process(run_id=assignment.run_id, job_id=assignment.job_id)
        prepare_torch(assignment, threads)
        base_folder = resolve_model(assignment.model_path)
        chosen = choose_device(device, assignment)
        trainer = Trainer(
            assignment,
            client,
            open_store(assignment.artifact_root),
            base_folder=base_folder,
            make_learner=lambda: make_learner(assignment, base_folder, chosen),
            scratch=scratch,
            on_gone=lambda: _exit_at_once(scratch),
        )
        trainer.run()


def prepare_torch(assignment: JobAssignment, threads: int) -> None:
    """Process-wide switches: threads, seed and, in synchronous runs, algorithms that repeat bit for bit."""
    torch.set_num_threads(threads)
    torch.manual_seed(assignment.spec.seed)
    if assignment.spec.mode == "synchronous":
        torch.use_deterministic_algorithms(True)
        # Filling fresh memory costs time and repeats nothing: no kernel here reads what it has not written.
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def make_learner(assignment: JobAssignment, base_folder: Path, device: torch.device) -> Learner:
    """A fresh optimizer on the base model, in fp32; the base model again where the algorithm has a KL term."""
    model = load_decoder(base_folder, dtype=torch.float32, device=device)
    algorithm, sampling = assignment.spec.algorithm, assignment.spec.sampling
    # The reference costs a second copy of the weights, so it is loaded for runs that are held to it only.
    reference = None
    if algorithm.kl_coefficient > 0:
        reference = load_decoder(base_folder, dtype=torch.float32, device=device).requires_grad_(False)
    assert sampling.max_new_tokens is not None, "a run's specification has it resolved"
    longest = sampling.max_new_tokens * assignment.spec.max_turns
    return Learner(model, algorithm, sampling.temperature, longest, reference)


def choose_device(wanted: str, assignment: JobAssignment) -> torch.device:
    """`auto` is a GPU when the run asked for one and there is one."""
    if wanted == "auto":
        wanted = "cuda" if assignment.spec.gpu_model != "cpu" and torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def _exit_at_once(scratch: Path) -> None:
    # Nothing needs saving: the run has ended, and a half-written artifact has no manifest.
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)
