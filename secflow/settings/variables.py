"""Every environment variable: name, type, default and meaning in one place. The README's table is made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secflow.settings import values
from secflow.settings.values import Kind, Rate

_HOST = r"[A-Za-z0-9.*_:\[\]-]+"
_ALGORITHM = r"(RS|ES|PS|HS)(256|384|512)|EdDSA"


def variable(name: str, kind: Kind, default: str | None, meaning: str, *, secret: bool = False) -> Any:
    """A dataclass field that is read from the environment. Secrets may come by NAME_FILE and never show in a repr."""
    metadata = {"name": name, "kind": kind, "default": default, "meaning": meaning, "secret": secret}
    return field(metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class SecFlowSettings:
    """The settings of this process, checked; read as `settings.SECFLOW.<field>`."""

    # Parts
    database_url: str | None = variable(
        "DATABASE_URL",
        values.postgresql_url(),
        None,
        "PostgreSQL. `manage.py up` starts its own when not set.",
        secret=True,
    )
    redis_url: str | None = variable(
        "REDIS_URL",
        values.redis_url(),
        None,
        "Redis or Valkey, for messages only: may be flushed at any time. `rediss://` is TLS with a certificate that is"
        " checked (`?ssl_ca_certs=/file`; `?ssl_cert_reqs=none` takes any). `manage.py up` starts its own when not set.",
        secret=True,
    )
    kubeconfig: str | None = variable(
        "KUBECONFIG",
        values.text(allowed="the path of a kubeconfig file"),
        None,
        "The cluster. Not set: the credentials of SecFlow's own pod; without both, `manage.py up` starts its own.",
    )
    database_pool_max: int = variable(
        "DATABASE_POOL_MAX", values.whole(1, 1000), "10", "Most connections to PostgreSQL of one process."
    )
    # Web
    secret_key: str | None = variable(
        "SECRET_KEY",
        values.text(pattern=r".{8,}", allowed="at least 50 random characters"),
        None,
        "Signs sessions and SecFlow's own tokens. Required unless DEBUG; `manage.py up` makes one and keeps it.",
        secret=True,
    )
    debug: bool = variable("DEBUG", values.flag(), "false", "Django's debug pages. For development only.")
    https: bool | None = variable(
        "HTTPS",
        values.flag(),
        None,
        "Behind a proxy with TLS that sets X-Forwarded-Proto: secure cookies, redirect, HSTS. Not set: unless DEBUG.",
    )
    bind: str = variable(
        "BIND",
        values.text(pattern=r"[A-Za-z0-9.:-]+", allowed="an address or host name"),
        "127.0.0.1",
        "Address the web process listens on.",
    )
    port: int = variable("PORT", values.whole(1, 65535), "10005", "Port of the web process.")
    web_threads: int = variable(
        "WEB_THREADS", values.whole(1, 256), "32", "Requests handled at once by one web process."
    )
    event_streams: int | None = variable(
        "EVENT_STREAMS",
        values.whole(0, 255),
        None,
        "Live streams of events that one web process holds open; each takes a thread. Not set: half of WEB_THREADS.",
    )
    allowed_hosts: tuple[str, ...] = variable(
        "ALLOWED_HOSTS",
        values.words(pattern=_HOST, allowed="host names, divided by commas"),
        "localhost,127.0.0.1,[::1]",
        "Host names the service answers to.",
    )
    csrf_trusted_origins: tuple[str, ...] = variable(
        "CSRF_TRUSTED_ORIGINS", values.origins(), "", "Origins whose forms the console accepts besides its own."
    )
    cors_allowed_origins: tuple[str, ...] = variable(
        "CORS_ALLOWED_ORIGINS", values.origins(), "", "Origins whose pages may call the API. Empty: none."
    )
    # Logs
    log_level: str = variable(
        "LOG_LEVEL", values.choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "Least level written."
    )
    log_format: str = variable(
        "LOG_FORMAT", values.choice("text", "json"), "text", "One line per record as text or JSON."
    )
    # Rules of the service
    status_dialect: str = variable(
        "STATUS_DIALECT", values.choice("seed", "readiness"), "seed", "Words in the `status` field of instances."
    )
    max_replicas: int = variable(
        "MAX_REPLICAS", values.whole(1, 1000), "10", "Most replicas an app template may ask for."
    )
    allow_privileged: bool = variable(
        "ALLOW_PRIVILEGED", values.flag(), "false", "Whether templates may ask for privileged containers."
    )
    wait_seconds: float = variable(
        "WAIT_SECONDS",
        values.seconds(0, 60),
        "10",
        "How long initialize, stop, uninitialize and delete wait for the outcome.",
    )
    reconcile_seconds: float = variable(
        "RECONCILE_SECONDS", values.seconds(1, 3600), "15", "Period of the sweep that makes records and cluster agree."
    )
    sweep_seconds: float = variable(
        "SWEEP_SECONDS", values.seconds(1, 600), "5", "Period of the sweep that finds due rows in the database."
    )
    visibility_seconds: int = variable(
        "VISIBILITY_SECONDS",
        values.whole(5, 3600),
        "60",
        "A message that a worker took and did not finish within this time is given to another one as well.",
    )
    canary_seconds: float = variable(
        "CANARY_SECONDS",
        values.seconds(1, 3600),
        "60",
        "A worker to which no message comes for so long, although the broker takes them, ends itself.",
    )
    app_timeout_seconds: int = variable(
        "APP_TIMEOUT_SECONDS",
        values.whole(1, 604800),
        "300",
        "Time an app node has to become ready when it names none.",
    )
    job_timeout_seconds: int = variable(
        "JOB_TIMEOUT_SECONDS", values.whole(1, 2592000), "3600", "Time a job node has when it names none."
    )
    pull_limit_seconds: int = variable(
        "PULL_LIMIT_SECONDS",
        values.whole(1, 604800),
        "1800",
        "Time for pulling an image, not counted in the time-outs of nodes.",
    )
    setup_limit_seconds: int = variable(
        "SETUP_LIMIT_SECONDS", values.whole(1, 86400), "600", "Time an instance may stay in `initializing`."
    )
    log_limit_bytes: int = variable(
        "LOG_LIMIT_BYTES",
        values.whole(1024, 67108864),
        "1048576",
        "Most bytes of a pod's log kept when its node ends; the end is kept.",
    )
    trigger_secrets_required: bool = variable(
        "TRIGGER_SECRETS_REQUIRED", values.flag(), "false", "Refuse HTTP triggers of instances that have no secret."
    )
    trigger_rate: Rate | None = variable(  # noqa: RUF009  it makes a field
        "TRIGGER_RATE", values.rate(), "60/minute", "Most calls of one instance's HTTP trigger."
    )
    workers: int = variable("WORKERS", values.whole(1, 64), "1", "Celery workers that `manage.py up` runs.")
    watchers: int = variable(
        "WATCHERS", values.whole(1, 16), "1", "Watchers that `manage.py up` runs; they share the work."
    )
    worker_concurrency: int = variable("WORKER_CONCURRENCY", values.whole(1, 256), "8", "Threads of one Celery worker.")
    heartbeat_file: Path | None = variable(  # noqa: RUF009
        "HEARTBEAT_FILE",
        values.folder(),
        None,
        "Worker, beat and watcher touch this file every 10 seconds, for the liveness probe of a container.",
    )
    # Authentication
    auth_mode: str = variable(
        "AUTH_MODE",
        values.choice("own", "jwt", "service"),
        "own",
        "Whose tokens are accepted: SecFlow's own, JWTs of another issuer, or what AUTH_SERVICE_URL says.",
    )
    auth_jwt_key: str | None = variable(
        "AUTH_JWT_KEY",
        values.text(),
        None,
        "Key for AUTH_MODE=jwt: a public key in PEM form, or a shared secret.",
        secret=True,
    )
    auth_jwks_url: str | None = variable(
        "AUTH_JWKS_URL",
        values.url(("https", "http"), example="https://id.example.org/jwks.json"),
        None,
        "Keys for AUTH_MODE=jwt.",
    )
    auth_issuer: str | None = variable("AUTH_ISSUER", values.text(), None, "The `iss` that AUTH_MODE=jwt demands.")
    auth_audience: str | None = variable("AUTH_AUDIENCE", values.text(), None, "The `aud` that AUTH_MODE=jwt demands.")
    auth_algorithms: tuple[str, ...] = variable(
        "AUTH_ALGORITHMS",
        values.words(pattern=_ALGORITHM, allowed="algorithms such as RS256,ES256, divided by commas"),
        "RS256",
        "Signatures that AUTH_MODE=jwt accepts.",
    )
    auth_service_url: str | None = variable(
        "AUTH_SERVICE_URL",
        values.url(("https", "http"), example="https://auth.example.org/api/auth/validate-human-token"),
        None,
        "Asked about each token by AUTH_MODE=service.",
    )
    auth_timeout_seconds: float = variable(
        "AUTH_TIMEOUT_SECONDS", values.seconds(0.1, 60), "10", "Longest wait for AUTH_SERVICE_URL or AUTH_JWKS_URL."
    )
    auth_cache_seconds: float = variable(
        "AUTH_CACHE_SECONDS", values.seconds(0, 900), "60", "How long an answer of AUTH_SERVICE_URL is believed."
    )
    # The stand of `manage.py up`
    data_dir: Path | None = variable(  # noqa: RUF009
        "DATA_DIR", values.folder(), None, "Where `manage.py up` keeps its data. Not set: `.secflow` beside manage.py."
    )
    sandbox: str = variable(
        "SANDBOX",
        values.choice("auto", "bubblewrap", "unshare", "limited"),
        "auto",
        "How the local cluster separates pods; auto takes the best that works here.",
    )
    local_cluster: bool = variable(
        "LOCAL_CLUSTER", values.flag(), "false", "The cluster is the local one. Written by `manage.py up`."
    )
    local_cluster_allowed: str = variable(
        "LOCAL_CLUSTER_ALLOWED",
        values.choice("development", "loopback", "anywhere"),
        "development",
        "Where the local cluster may serve: on loopback with DEBUG, on loopback (`manage.py up` says so), or anywhere.",
    )
    superuser_username: str = variable(
        "DJANGO_SUPERUSER_USERNAME",
        values.text(pattern=r"[\w.@+-]{1,150}", allowed="letters, digits and @ . + - _, at most 150"),
        "admin",
        "Name of the first admin, made by `manage.py up`.",
    )
    superuser_password: str | None = variable(
        "DJANGO_SUPERUSER_PASSWORD",
        values.text(),
        None,
        "Its password. Not set: a random one in `admin-password`.",
        secret=True,
    )
