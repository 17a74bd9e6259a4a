"""The environment of a control-plane process, read once at start; wrong combinations are refused here.

Every setting is an environment variable; the string under a field is its documentation.
Job processes read `JobSettings` and nothing else: they get the rest over the wire.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MIN_TOKEN_CHARS = 16
ADDRESSES = r"^https?://[^\s,]+(,https?://[^\s,]+)*$"
DATABASES = ("postgresql+asyncpg://", "sqlite+aiosqlite://")
MissingLayers = Literal["refuse", "warn"]


class Settings(BaseSettings):
    """Settings of `skyscale serve`."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, frozen=True, populate_by_name=True, extra="ignore")

    data_dir: Annotated[Path, Field(alias="SKYSCALE_DATA_DIR")] = Path(".skyscale")
    """Folder of everything that is kept: database, artifacts, job logs, secrets."""
    host: Annotated[str, Field(alias="HOST")] = "127.0.0.1"
    """Address to listen on. Other than loopback needs SKYSCALE_DASHBOARD_TOKEN (or --insecure)."""
    port: Annotated[int, Field(alias="PORT", ge=0, le=65535)] = 8080
    """Port to listen on; 0 takes a free one."""
    database_url: Annotated[str | None, Field(alias="DATABASE_URL")] = None
    """PostgreSQL, as `postgresql+asyncpg://...`; the default is a SQLite file. Excludes DB_PATH."""
    job_url: Annotated[str | None, Field(alias="SKYSCALE_JOB_URL", pattern=ADDRESSES)] = None
    """Where jobs reach the control plane, those at providers elsewhere too: its public URL, a balancer's, or those of
    all replicas with commas between them. By default the address that this one listens on."""
    replica_url: Annotated[str | None, Field(alias="SKYSCALE_REPLICA_URL", pattern=r"^https?://[^\s,]+$")] = None
    """Where other control planes on the same database reach this one; by default the address that it listens on."""
    secret: Annotated[SecretStr | None, Field(alias="SKYSCALE_SECRET", min_length=32)] = None
    """Signs the tokens of jobs: the same on all control planes that share a database but no data folder. By default one
    is made and kept in the data folder."""
    db_path: Annotated[Path | None, Field(alias="DB_PATH")] = None
    """SQLite file; the default is `skyscale.db` in the data folder."""
    artifact_dir: Annotated[Path | None, Field(alias="ARTIFACT_LOCAL_DIR")] = None
    """Folder of the local artifact store; the default is `artifacts` in the data folder."""
    s3_bucket: Annotated[str | None, Field(alias="S3_BUCKET", min_length=1)] = None
    """Keep artifacts in this bucket (or `bucket/folder`) of an S3-compatible service. Excludes ARTIFACT_LOCAL_DIR."""
    dashboard_token: Annotated[SecretStr | None, Field(alias="SKYSCALE_DASHBOARD_TOKEN")] = None
    """When set, every call that changes state needs it, an API key or a job's token; the dashboard needs the same."""
    reads: Annotated[Literal["local", "open", "guarded"], Field(alias="SKYSCALE_READS")] = "local"
    """Who may read without credentials: calls from this machine by its own name, anyone, or nobody."""
    insecure: Annotated[bool, Field(alias="SKYSCALE_INSECURE")] = False
    """Insist on listening beyond loopback without authentication."""
    heartbeat_s: Annotated[float, Field(alias="SKYSCALE_HEARTBEAT_S", gt=0)] = 2.0
    """How often jobs report."""
    reconcile_s: Annotated[float, Field(alias="SKYSCALE_RECONCILE_S", gt=0)] = 0.25
    """How often the reconcilers compare desired and real state."""
    max_attempts: Annotated[int, Field(alias="SKYSCALE_MAX_ATTEMPTS", ge=1)] = 5
    """How often a run's job is started before the run fails."""
    gpu_provider_order: Annotated[str, Field(alias="GPU_PROVIDER_ORDER")] = "local"
    """Providers that `auto` tries, first to last, with commas; one that refuses or has nothing free is passed over."""
    job_image: Annotated[str | None, Field(alias="SKYSCALE_JOB_IMAGE", min_length=1)] = None
    """Container image with `skyscale[train]` for the processes of runs, at providers that run images; jobs of your own
    that name none get it too."""
    gpu_queue_s: Annotated[float, Field(alias="GPU_QUEUE_DEADLINE_S", gt=0)] = 900.0
    """A job that waits at a provider for longer than this is taken back and given to the next one."""
    ticket_ttl_s: Annotated[float, Field(alias="SKYSCALE_TICKET_TTL_S", gt=0)] = 120.0
    """After this long without a push, the slot of a group is given away."""
    max_body_bytes: Annotated[int, Field(alias="SKYSCALE_MAX_BODY_BYTES", gt=0)] = 32 * 1024 * 1024
    """Largest request body that is read."""
    sandbox_slots: Annotated[int, Field(alias="SKYSCALE_SANDBOX_SLOTS", ge=1)] = 2
    """Sandboxes that run at once."""
    sandbox_max_open: Annotated[int, Field(alias="SKYSCALE_SANDBOX_MAX_OPEN", ge=1)] = 32
    """Interactive sandboxes that one caller may have open."""
    sandbox_max_total: Annotated[int, Field(alias="SKYSCALE_SANDBOX_MAX_TOTAL", ge=1)] = 64
    """Interactive sandboxes that may be open altogether; each may take its memory and its disk from this host."""
    sandbox_missing_layers: Annotated[MissingLayers | None, Field(alias="SKYSCALE_SANDBOX_MISSING_LAYERS")] = None
    """`refuse` or `warn` when a layer of isolation that is needed is missing on this host; by default `warn` while
    HOST is loopback, else `refuse`. Each run's events say which layers are missing."""
    host_token: Annotated[SecretStr | None, Field(alias="SKYSCALE_HOST_TOKEN")] = None
    """Shared with sandbox hosts (`skyscale sandboxd`), which may be on other machines only when it is set."""
    verdict_cache_entries: Annotated[int, Field(alias="SKYSCALE_VERDICT_CACHE_ENTRIES", ge=0)] = 100_000
    """Verdicts remembered by problem and code, since judging is deterministic; 0 runs every program afresh."""
    problem_set_max_bytes: Annotated[int, Field(alias="SKYSCALE_PROBLEM_SET_MAX_BYTES", gt=0)] = 200 * 1024 * 1024
    """Largest problem set that may be uploaded."""
    problem_sets_max_bytes: Annotated[int, Field(alias="SKYSCALE_PROBLEM_SETS_MAX_BYTES", gt=0)] = 10 * 1024**3
    """All versions of all uploaded problem sets together."""
    environment_sessions: Annotated[int, Field(alias="SKYSCALE_ENVIRONMENT_SESSIONS", ge=1)] = 128
    """Groups whose own environments are held open at once; each may take the memory of a sandbox."""
    environment_origins: Annotated[str, Field(alias="SKYSCALE_ENVIRONMENT_ORIGINS")] = ""
    """Origins (`http://host:port`, separated by commas) that environments of kind `http` may be at; none by default."""
    rollouts_keep: Annotated[int, Field(alias="SKYSCALE_ROLLOUTS_KEEP", ge=1)] = 2000
    """Newest groups of a run, of training and of evaluation each, whose completions are kept in full."""
    rollouts_sample_every: Annotated[int, Field(alias="SKYSCALE_ROLLOUTS_SAMPLE_EVERY", ge=0)] = 50
    """Of older training groups every so many keep their completions too; 0 keeps none."""
    policy_engine: Annotated[Literal["torch", "vllm"], Field(alias="SKYSCALE_POLICY_ENGINE")] = "torch"
    """What samples in the policy servers of runs (docs/engines.md)."""
    policy_python: Annotated[str | None, Field(alias="SKYSCALE_POLICY_PYTHON", min_length=1)] = None
    """Python interpreter of this host's policy servers, for an engine with an environment of its own."""
    prices: Annotated[str, Field(alias="SKYSCALE_PRICES")] = ""
    """Changes to the price list, as JSON: `{"local": {"h100": 1.9, "cpu": 0.02, "sandbox": 0.01}}` in dollars per hour
    of one accelerator, one core, one sandbox at work."""
    loggers: Annotated[
        str, Field(alias="SKYSCALE_LOGGERS", pattern=r"^((wandb|tensorboard)(,(wandb|tensorboard))*)?$")
    ] = ""
    """Where runs are logged to that do not say it themselves: `wandb`, `tensorboard`, or both with a comma."""
    public_base: Annotated[str | None, Field(alias="SKYSCALE_PUBLIC_BASE", pattern=r"^https?://[^\s?#]+$")] = None
    """Where the world reaches this control plane, for the addresses of endpoints; by default where it listens."""
    function_slots: Annotated[int, Field(alias="SKYSCALE_FUNCTION_SLOTS", ge=1)] = 4
    """Calls of functions that run in sandboxes at once; more wait in line."""
    function_max_warm: Annotated[int, Field(alias="SKYSCALE_FUNCTION_MAX_WARM", ge=0)] = 16
    """Fresh sandboxes that are kept ready for all functions together."""
    function_gpu_calls: Annotated[int, Field(alias="SKYSCALE_FUNCTION_GPU_CALLS", ge=0)] = 1
    """Calls that run as jobs of a provider at once, which bounds what they spend; 0 refuses such functions."""
    grafana_base_url: Annotated[str | None, Field(alias="GRAFANA_BASE_URL")] = None
    """When set, run replies carry a link to the run's Grafana board."""
    grafana_dashboard_uid: Annotated[str, Field(alias="GRAFANA_RL_DASHBOARD_UID")] = "skyscale-rl-training"
    """Uid of that board."""
    grafana_org_id: Annotated[int, Field(alias="GRAFANA_ORG_ID")] = 1
    """Grafana organisation of that board."""

    @model_validator(mode="after")
    def _combinations_that_cannot_work(self) -> "Settings":
        if self.database_url and self.db_path:
            raise ValueError("DATABASE_URL and DB_PATH exclude each other: unset one")
        if self.database_url and not self.database_url.startswith(DATABASES):
            raise ValueError(
                "DATABASE_URL must be postgresql+asyncpg://user:password@host/name; for a SQLite file set DB_PATH"
            )
        if self.s3_bucket and self.artifact_dir:
            raise ValueError("S3_BUCKET and ARTIFACT_LOCAL_DIR exclude each other: unset one")
        if self.host not in LOOPBACK and self.dashboard_token is None and not self.insecure:
            raise ValueError(
                f"HOST={self.host} listens beyond loopback, which needs SKYSCALE_DASHBOARD_TOKEN (or --insecure)"
            )
        if self.host not in LOOPBACK and self.dashboard_token is not None:
            self._refuse_weak(self.dashboard_token.get_secret_value())
        return self

    def _refuse_weak(self, token: str) -> None:
        if len(token) < MIN_TOKEN_CHARS:
            raise ValueError(
                f"HOST={self.host} listens beyond loopback, where a SKYSCALE_DASHBOARD_TOKEN of less than "
                f"{MIN_TOKEN_CHARS} characters can be guessed: use the output of `openssl rand -hex 32`"
            )

    @property
    def may_lack_layers(self) -> bool:
        """Whether sandboxes may run without every layer of isolation that they need."""
        if self.sandbox_missing_layers is None:
            return self.host in LOOPBACK
        return self.sandbox_missing_layers == "warn"

    @property
    def provider_order(self) -> tuple[str, ...]:
        """Names in GPU_PROVIDER_ORDER, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.gpu_provider_order.split(",") if name.strip()))

    @property
    def sqlalchemy_url(self) -> str:
        """The database's address for SQLAlchemy's async engines."""
        if self.database_url:
            return self.database_url
        return f"sqlite+aiosqlite:///{(self.db_path or self.data_dir / 'skyscale.db').absolute()}"

    @property
    def artifact_root(self) -> str:
        """The artifact store's root as a URI."""
        if self.s3_bucket:
            return f"s3://{self.s3_bucket.strip('/')}"
        return (self.artifact_dir or self.data_dir / "artifacts").absolute().as_uri()


class HostSettings(BaseSettings):
    """Settings of a sandbox host (`skyscale sandboxd`)."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, frozen=True, populate_by_name=True, extra="ignore")

    url: Annotated[str, Field(alias="SKYSCALE_URL", pattern=r"^https?://")] = "http://127.0.0.1:8080"
    """The control plane that it works for."""
    token: Annotated[SecretStr | None, Field(alias="SKYSCALE_HOST_TOKEN")] = None
    """The control plane's SKYSCALE_HOST_TOKEN: it opens the control plane to this host, and this host to it."""
    name: Annotated[str | None, Field(alias="SKYSCALE_HOST_NAME", min_length=1, max_length=100)] = None
    """What people call it; by default the machine's name."""
    data_dir: Annotated[Path, Field(alias="SKYSCALE_DATA_DIR")] = Path(".skyscale")
    """Its processes are marked with this folder: the next host with the same one ends what was left behind."""
    host: Annotated[str, Field(alias="HOST")] = "127.0.0.1"
    """Address to listen on. Other than loopback needs SKYSCALE_HOST_TOKEN."""
    port: Annotated[int, Field(alias="PORT", ge=0, le=65535)] = 8090
    """Port to listen on; 0 takes a free one."""
    public_url: Annotated[str | None, Field(alias="SKYSCALE_HOST_URL", pattern=r"^https?://[^\s/]+$")] = None
    """Where the control plane reaches it; the default is the address that it listens on."""
    backend: Annotated[str, Field(alias="SKYSCALE_SANDBOX_BACKEND")] = "process"
    """What isolates the programs that it judges."""
    sandbox_slots: Annotated[int | None, Field(alias="SKYSCALE_SANDBOX_SLOTS", ge=1, le=4096)] = None
    """Programs that it judges at once; by default one for each core."""
    sandbox_max_total: Annotated[int, Field(alias="SKYSCALE_SANDBOX_MAX_TOTAL", ge=0)] = 64
    """Interactive sandboxes that it holds at most."""
    missing_layers: Annotated[MissingLayers, Field(alias="SKYSCALE_SANDBOX_MISSING_LAYERS")] = "refuse"
    """`refuse` to start, or `warn` and go on, when a layer of isolation that is needed is missing."""

    @model_validator(mode="after")
    def _combinations_that_cannot_work(self) -> "HostSettings":
        if self.host not in LOOPBACK and self.token is None:
            raise ValueError(f"HOST={self.host} listens beyond loopback, which needs SKYSCALE_HOST_TOKEN")
        if self.host in ("0.0.0.0", "::") and self.public_url is None:
            raise ValueError(f"HOST={self.host} is no address to call: set SKYSCALE_HOST_URL")
        return self


class VmSettings(BaseSettings):
    """Settings of the virtual-machine sandboxes, read by their backends."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, frozen=True, populate_by_name=True, extra="ignore")

    data_dir: Annotated[Path, Field(alias="SKYSCALE_DATA_DIR")] = Path(".skyscale")
    """Where the build script leaves guest images (`vm`) and snapshots are kept (`vm-snapshots`)."""
    kernel_path: Annotated[Path | None, Field(alias="FAAS_VM_KERNEL_PATH")] = None
    """Uncompressed guest kernel, with its `initrd` beside it; the default is the newest built image's."""
    rootfs_path: Annotated[Path | None, Field(alias="FAAS_VM_ROOTFS_PATH")] = None
    """Guest root filesystem (ext4, mounted read-only); the default is the newest built image's."""
    memory_mb: Annotated[int, Field(alias="FAAS_VM_MEMORY_MB", ge=192, le=16384)] = 384
    """Memory of one machine; an episode in it may use what its own limit says."""
    cpu_count: Annotated[int, Field(alias="FAAS_VM_CPU_COUNT", ge=1, le=32)] = 1
    """Virtual processors of one machine."""


class RailwaySettings(BaseSettings):
    """Where container services are deployed to."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, frozen=True, populate_by_name=True, extra="ignore")

    project_token: Annotated[SecretStr | None, Field(alias="RAILWAY_TOKEN")] = None
    """A project token of Railway's: it says which project and environment, too."""
    api_token: Annotated[SecretStr | None, Field(alias="RAILWAY_API_TOKEN")] = None
    """A token of an account or workspace, used when there is no project token."""
    project_id: Annotated[str | None, Field(alias="RAILWAY_PROJECT_ID")] = None
    """Needed with RAILWAY_API_TOKEN."""
    environment_id: Annotated[str | None, Field(alias="RAILWAY_ENVIRONMENT_ID")] = None
    """Needed with RAILWAY_API_TOKEN."""
    api_url: Annotated[str, Field(alias="RAILWAY_API_URL", pattern=r"^https?://\S+$")] = (
        "https://backboard.railway.com/graphql/v2"
    )
    """Railway's GraphQL API."""
    max_services: Annotated[int, Field(alias="RAILWAY_MAX_SERVICES", ge=0)] = 10
    """Services that may be there at once; each costs money while it runs."""


class RaySettings(BaseSettings):
    """Settings of the `ray` provider: which cluster, and how it is entered."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, frozen=True, populate_by_name=True, extra="ignore")

    address: Annotated[str | None, Field(alias="RAY_API_SERVER_ADDRESS", pattern=r"^https?://[^/?#]+/?$")] = None
    """The cluster's Jobs API, for example `http://head:8265`; with KubeRay `http://NAME-head-svc:8265`."""
    token: Annotated[SecretStr | None, Field(alias="RAY_AUTH_TOKEN")] = None
    """The cluster's token, where it asks for one."""
    python: Annotated[str | None, Field(alias="SKYSCALE_RAY_PYTHON")] = None
    """Interpreter on the nodes that has `skyscale[train]`; by default the control plane's own path."""


class S3Settings(BaseSettings):
    """Settings of artifacts on S3, read wherever they are opened: here, by trainers and by policy servers."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, frozen=True, populate_by_name=True, extra="ignore")

    endpoint: Annotated[str | None, Field(alias="S3_ENDPOINT", pattern=r"^https?://[^/?#]+/?$")] = None
    """Address of the service, for example `https://s3.example.com`; AWS when unset."""
    region: Annotated[str, Field(alias="S3_REGION", min_length=1)] = "us-east-1"
    """Region that requests are signed for; most other services than AWS take any."""
    access_key: Annotated[SecretStr | None, Field(alias="S3_ACCESS_KEY")] = None
    """Access key; trainers and policy servers get it too, so it should open this one bucket and nothing else."""
    secret_key: Annotated[SecretStr | None, Field(alias="S3_SECRET_KEY")] = None
    """Its secret; without both, the machine's own credentials are used."""
    retry_s: Annotated[float, Field(alias="S3_RETRY_S", gt=0)] = 120.0
    """How long a service that fails or does not answer is tried again."""

    @model_validator(mode="after")
    def _keys_come_in_pairs(self) -> "S3Settings":
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("S3_ACCESS_KEY and S3_SECRET_KEY belong together: set both, or neither")
        return self

    def environment(self) -> dict[str, str]:
        """The same settings as environment variables of another process; secrets among them."""
        values = {
            "S3_ENDPOINT": self.endpoint,
            "S3_REGION": self.region,
            "S3_ACCESS_KEY": self.access_key.get_secret_value() if self.access_key else None,
            "S3_SECRET_KEY": self.secret_key.get_secret_value() if self.secret_key else None,
            "S3_RETRY_S": str(self.retry_s),
        }
        return {name: value for name, value in values.items() if value is not None}


class CloudSettings(BaseSettings):
    """Settings of the providers that are somebody else's machines, read by each of them when it is used."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, frozen=True, populate_by_name=True, extra="ignore")

    hf_token: Annotated[SecretStr | None, Field(alias="HF_TOKEN")] = None
    """Hugging Face token that may start Jobs in the namespace; runs' processes get it too, for gated models."""
    hf_namespace: Annotated[str | None, Field(alias="SKYSCALE_HF_NAMESPACE")] = None
    """Hugging Face user or organisation that Jobs belong to and are billed to."""
    hf_endpoint: Annotated[str, Field(alias="HF_ENDPOINT")] = "https://huggingface.co"
    """The Hub's address."""
    akash_api_key: Annotated[SecretStr | None, Field(alias="AKASH_API_KEY")] = None
    """API key of the Akash Console account (managed wallet) that pays."""
    akash_api_url: Annotated[str, Field(alias="AKASH_API_URL")] = "https://console-api.akash.network"
    """The Console API's address."""
    akash_proxy_url: Annotated[str, Field(alias="AKASH_PROXY_URL")] = "wss://console-provider-proxy.akash.network/ws"
    """The proxy that reaches providers, checks their certificates, and streams logs."""
    akash_max_usd_per_hour: Annotated[float, Field(alias="AKASH_MAX_USD_PER_HOUR", gt=0)] = 4.0
    """Bids above this price for one accelerator (or for a job without one) are not taken."""
    akash_bid_wait_s: Annotated[float, Field(alias="AKASH_BID_WAIT_S", gt=0, le=90)] = 60.0
    """How long to wait for the first bid."""
    modal_token_id: Annotated[str | None, Field(alias="MODAL_TOKEN_ID")] = None
    """Modal token, its public half."""
    modal_token_secret: Annotated[SecretStr | None, Field(alias="MODAL_TOKEN_SECRET")] = None
    """Modal token, its secret half."""
    modal_app: Annotated[str, Field(alias="SKYSCALE_MODAL_APP")] = "skyscale"
    """Modal app that sandboxes belong to; created when it does not exist."""
    modal_secrets: Annotated[str, Field(alias="SKYSCALE_MODAL_SECRETS")] = ""
    """Names of Modal secrets (separated by commas) that runs' processes get, for example one with HF_TOKEN."""


class LogSettings(BaseSettings):
    """How a process writes its log; jobs on this host inherit it."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, frozen=True, populate_by_name=True, extra="ignore")

    log_format: Annotated[Literal["text", "json"], Field(alias="SKYSCALE_LOG_FORMAT")] = "text"
    """`json` writes an object a line, with `run_id` and `job_id` where there is one."""


class TraceSettings(BaseSettings):
    """Where a process sends its traces; jobs on this host inherit it."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, frozen=True, populate_by_name=True, extra="ignore")

    endpoint: Annotated[str | None, Field(alias="OTEL_EXPORTER_OTLP_ENDPOINT", pattern=r"^(https?://\S+)?$")] = None
    """Receiver of OpenTelemetry traces (OTLP over HTTP), as `http://127.0.0.1:4318`; unset, there are none. Needs
    `skyscale[otel]`. The SDK's other settings hold too, as `OTEL_EXPORTER_OTLP_HEADERS`."""
    share: Annotated[float, Field(alias="OTEL_TRACES_SAMPLER_ARG", ge=0, le=1)] = 1.0
    """Share of the groups that are traced, each as a whole."""


class VllmSettings(BaseSettings):
    """What a policy server that samples with vLLM tells it; jobs on this host inherit it."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, frozen=True, populate_by_name=True, extra="ignore")

    arguments: Annotated[dict[str, Any], Field(alias="SKYSCALE_VLLM_ARGUMENTS")] = {}
    """Engine arguments of vLLM as JSON, like `{"tensor_parallel_size": 2, "gpu_memory_utilization": 0.5}`; those on
    which the policy server relies are refused (docs/engines.md)."""


class TorchSettings(BaseSettings):
    """How a policy server that samples with the torch engine does it; jobs on this host inherit it."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, frozen=True, populate_by_name=True, extra="ignore")

    recompute_on_swap: Annotated[bool, Field(alias="SKYSCALE_TORCH_RECOMPUTE_ON_SWAP")] = False
    """When weights are replaced, compute the keys and values of what is in flight anew: every token is then sampled as
    its version alone would, and decoding stands still for as long as that takes (docs/engines.md)."""


class JobSettings(BaseSettings):
    """The three settings of a job's process."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, frozen=True, populate_by_name=True, extra="ignore")

    url: Annotated[str, Field(alias="SKYSCALE_URL")]
    """The control plane's URL."""
    job_token: Annotated[SecretStr, Field(alias="SKYSCALE_JOB_TOKEN")]
    """Opens what this job's role needs, and nothing else."""
    job_id: Annotated[str, Field(alias="SKYSCALE_JOB_ID")]
    """Which job this process is."""
