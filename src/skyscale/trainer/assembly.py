"""Builds a trainer from a job's assignment: the one place that knows all its parts."""

import gc
import os
import shutil
from contextlib import nullcontext
from pathlib import Path

import torch

from skyscale.artifacts.store import adopt_settings, open_store
from skyscale.decoder.checkpoint import load_decoder
from skyscale.decoder.lora import LoraConfig, attach
from skyscale.decoder.model import Decoder
from skyscale.decoder.models import resolve_model
from skyscale.errors import Invalid
from skyscale.sdk.jobs import JobClient
from skyscale.settings import JobSettings
from skyscale.telemetry import logs, traces
from skyscale.trainer.following import follow
from skyscale.trainer.loop import Trainer
from skyscale.trainer.sharding import load_sharded
from skyscale.trainer.step import Learner
from skyscale.trainer.team import Place, Team, join_team, lead_team
from skyscale.wire.jobs import JobAssignment
from skyscale.wire.training import Training


def train_job(settings: JobSettings, *, device: str, threads: int, scratch: Path) -> None:
    """Fetch the assignment and train until the run wants to finish. Raises Gone when the job must end at once."""
    with JobClient.from_settings(settings) as client:
        assignment = client.assignment()
        logs.of_process(run_id=assignment.run_id, job_id=assignment.job_id)
        traces.start("trainer", run_id=assignment.run_id, job_id=assignment.job_id)
        adopt_settings(assignment.artifact_settings)
        size = assignment.spec.trainer_processes
        prepare_torch(assignment, max(1, threads // size))
        base_folder = resolve_model(assignment.model_path)
        chosen = choose_device(device, assignment)
        with lead_team(size, chosen) if size > 1 else nullcontext() as team:
            trainer = Trainer(
                assignment,
                client,
                open_store(assignment.artifact_root),
                base_folder=base_folder,
                make_learner=lambda: make_learner(assignment, base_folder, chosen, team),
                scratch=scratch,
                on_gone=lambda: _exit_at_once(scratch),
                lora=lora_config(assignment.spec.training),
            )
            # What is loaded by now stays: a full look of the collector through it costs as much as a small step.
            gc.collect()
            gc.freeze()
            try:
                trainer.run()
            finally:
                traces.stop()


def follow_job(settings: JobSettings, *, device: str, threads: int, place: Place) -> None:
    """Compute this process's share of every batch until the leader says that it is over."""
    with JobClient.from_settings(settings) as client:
        assignment = client.assignment()
    prepare_torch(assignment, max(1, threads // place.size))
    base_folder = resolve_model(assignment.model_path)
    chosen = choose_device(device, assignment, place.rank)
    with join_team(place, chosen) as team:
        follow(lambda: make_learner(assignment, base_folder, chosen, team))


def prepare_torch(assignment: JobAssignment, threads: int) -> None:
    """Process-wide switches: threads, seed and, in synchronous runs, algorithms that repeat bit for bit."""
    torch.set_num_threads(threads)
    torch.manual_seed(assignment.spec.seed)
    if assignment.spec.mode == "synchronous":
        torch.use_deterministic_algorithms(True)
        # Filling fresh memory costs time and repeats nothing: no kernel here reads what it has not written.
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def make_learner(
    assignment: JobAssignment, base_folder: Path, device: torch.device, team: Team | None = None
) -> Learner:
    """A fresh optimizer on the base model; the base model again where the algorithm has a KL term.

    On a GPU the model computes in bf16, as the engine does, and the optimizer's weights beside it are fp32.
    """
    training = assignment.spec.training
    compute_dtype = torch.bfloat16 if device.type == "cuda" else None
    num_parts = team.size if team is not None and training.sharding == "full" else 1
    model = _load(base_folder, device, num_parts, dtype=torch.float32, compute_dtype=compute_dtype)
    lora = lora_config(training)
    if lora is not None:
        attach(model, lora, seed=assignment.spec.seed)
    recomputes = training.gradient_checkpointing
    model.recomputes_blocks = device.type == "cuda" if recomputes is None else recomputes
    algorithm, sampling = assignment.spec.algorithm, assignment.spec.sampling
    # The reference costs a second copy of the weights, so it is loaded for runs that are held to it only.
    reference = None
    if algorithm.kl_coefficient > 0:
        reference = _load(base_folder, device, num_parts, dtype=compute_dtype or torch.float32)
        reference.requires_grad_(False)
    assert sampling.max_new_tokens is not None, "a run's specification has it resolved"
    longest = sampling.max_new_tokens * assignment.spec.max_turns
    return Learner(model, algorithm, sampling.temperature, longest, reference, compute_dtype=compute_dtype, team=team)


def _load(
    folder: Path,
    device: torch.device,
    num_parts: int,
    *,
    dtype: torch.dtype,
    compute_dtype: torch.dtype | None = None,
) -> Decoder:
    if num_parts == 1:
        return load_decoder(folder, dtype=dtype, device=device)
    return load_sharded(folder, num_parts, device, dtype=dtype, compute_dtype=compute_dtype)


def lora_config(training: Training) -> LoraConfig | None:
    """The adapters that a run asks for; None when all weights are trained."""
    if training.method == "full":
        return None
    return LoraConfig(training.lora_rank, training.lora_alpha, tuple(training.targets))


def choose_device(wanted: str, assignment: JobAssignment, rank: int = 0) -> torch.device:
    """`auto` is a GPU when the run asked for one and there is one; each process of a team has its own.

    Raises:
        Invalid: there are fewer GPUs than processes.
    """
    if wanted == "auto":
        wanted = "cuda" if assignment.spec.gpu_model != "cpu" and torch.cuda.is_available() else "cpu"
    size = assignment.spec.trainer_processes
    if wanted == "cuda" and size > 1:
        if size > torch.cuda.device_count():
            raise Invalid(
                f"trainer_processes: {size} processes need as many GPUs, and here are {torch.cuda.device_count()}",
                code="gpu_count",
            )
        return torch.device("cuda", rank)
    return torch.device(wanted)


def _exit_at_once(scratch: Path) -> None:
    # Nothing needs saving: the run has ended, and a half-written artifact has no manifest.
    traces.stop()
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)
