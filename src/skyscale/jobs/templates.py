"""Jobs of their own that people often want, as bodies of `POST /api/training/jobs` to fill in."""

from collections.abc import Sequence

from skyscale.wire.jobs import TrainingJobCreate
from skyscale.wire.templates import JobTemplate

TEMPLATES: Sequence[JobTemplate] = (
    JobTemplate(
        name="command",
        summary="A command with the control plane's Python, where the jobs of runs are",
        body=TrainingJobCreate(command=["python", "-c", "import sys; print(sys.version)"], timeout_s=600),
    ),
    JobTemplate(
        name="gpu-check",
        summary="What accelerators a job sees, and one matrix product on each",
        body=TrainingJobCreate(
            command=[
                "python", "-c",
                "import torch\n"
                "for i in range(torch.cuda.device_count()):\n"
                "    x = torch.randn(1024, 1024, device=i)\n"
                "    print(torch.cuda.get_device_name(i), float((x @ x).sum()))\n"
                "print(torch.cuda.device_count(), 'accelerator(s)')",
            ],
            gpu_model="any", timeout_s=900,
        ),
    ),
    JobTemplate(
        name="policy-server",
        summary="A model behind an OpenAI-compatible endpoint, until it is cancelled",
        body=TrainingJobCreate(
            command=[
                "python", "-m", "skyscale.policy", "--model", "skyscale/starter", "--host", "0.0.0.0", "--port", "8000",
            ],
            timeout_s=86400,
        ),
    ),
    JobTemplate(
        name="trainer",
        summary="A training script in a container image of yours; what it sends to its artifacts is kept",
        body=TrainingJobCreate(
            docker_image="ghcr.io/acme/trainer:1", command=["python", "train.py"], gpu_model="a100",
            env_vars={"EPOCHS": "1"}, max_attempts=3, timeout_s=86400,
        ),
    ),
    JobTemplate(
        name="vllm",
        summary="vLLM serving a model from the Hub on one accelerator, on a provider that runs images",
        body=TrainingJobCreate(
            docker_image="vllm/vllm-openai:v0.33.0",
            command=["vllm", "serve", "Qwen/Qwen3-0.6B", "--host", "0.0.0.0", "--port", "8000"],
            gpu_model="l4", timeout_s=86400,
        ),
    ),
)  # fmt: skip
