"""Django settings from the typed environment. Nothing heavy is imported here: every process pays for it."""

from __future__ import annotations

import secrets
from typing import Any

from secflow.settings import environment, static_files
from secflow.settings.console import *  # noqa: F403  UNFOLD, which the admin pages look for
from secflow.settings.database import database_config
from secflow.settings.messages import celery_broker_options, celery_broker_tls
from secflow.settings.rest import *  # noqa: F403  names that the REST packages look for

SECFLOW = environment.load_or_exit()

DEBUG = SECFLOW.debug
# Without a key this process signs with one of its own, which ends with it (DEBUG and commands that only read code).
SECRET_KEY = SECFLOW.secret_key or secrets.token_urlsafe(50)
ALLOWED_HOSTS = list(SECFLOW.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(SECFLOW.csrf_trusted_origins)

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "secflow.apps.SecFlowConfig",
    "secflow.projects",
    "secflow.console",
    "templates_app",
    "workflows",
]

MIDDLEWARE = [
    "secflow.http.request_id.RequestIdMiddleware",
    "secflow.console.csp.ContentSecurityPolicyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "secflow.http.cors.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "secflow.urls"
WSGI_APPLICATION = "secflow.wsgi.application"
APPEND_SLASH = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000  # a form of the console has one field for each small value of a template

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Empty only for commands that read code; Django then refuses every query.
DATABASES: dict[str, dict[str, Any]] = (
    {"default": database_config(SECFLOW.database_url, pool_max=SECFLOW.database_pool_max)}
    if SECFLOW.database_url
    else {}
)

# Per process and bounded: nothing that must survive a restart or be shared is kept in it.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    },
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
# Whoever logs in without having asked for a page gets the first one.
LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en-us"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# Under DEBUG files may change while the process runs, and browsers ask each time whether they did.
STATIC_URL = static_files.PREFIX if DEBUG else static_files.versioned_url()
# Files are served out of the packages that bring them: no step to collect them, no folder that can be out of date.
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 0
WHITENOISE_IMMUTABLE_FILE_TEST = static_files.KEPT_FOR_EVER

# Behind a proxy that ends TLS, everything but the health routes (asked by kubelets over plain HTTP) demands it.
HTTPS = (not DEBUG) if SECFLOW.https is None else SECFLOW.https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^api/workflow/(health|ready)$", r"^(livez|readyz)$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "secflow.logs.RequestIdFilter"}},
    "formatters": {
        "text": {"()": "secflow.logs.TextFormatter"},
        "json": {"()": "secflow.logs.JsonFormatter"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": SECFLOW.log_format, "filters": ["request_id"]},
    },
    "root": {"handlers": ["stderr"], "level": SECFLOW.log_level},
    "loggers": {
        # Django brings handlers of its own; one line per record is enough.
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
        "django.utils.autoreload": {"level": "WARNING"},
        "urllib3": {"level": "WARNING"},
        "kubernetes": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "amqp": {"level": "WARNING"},
        "psycopg.pool": {"level": "WARNING"},
    },
}

# Messages only make things fast; PostgreSQL holds the truth. No result backend, short visibility, nothing prefetched.
CELERY_BROKER_URL = SECFLOW.redis_url or "redis://offline.invalid:6379/0"
CELERY_BROKER_URL, CELERY_BROKER_TRANSPORT_OPTIONS = celery_broker_options(
    CELERY_BROKER_URL, visibility_seconds=SECFLOW.visibility_seconds
)
CELERY_BROKER_USE_SSL = celery_broker_tls(CELERY_BROKER_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_POOL_LIMIT = 10
CELERY_RESULT_BACKEND = None
CELERY_TASK_DEFAULT_QUEUE = "secflow"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = False
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONCURRENCY = SECFLOW.worker_concurrency
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_TIMEZONE = "UTC"
CELERY_ENABLE_UTC = True

# Beat only ticks. A message that waited longer than its period says nothing that the next one does not.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "sweep": {"task": "workflows.sweep", "schedule": SECFLOW.sweep_seconds, "options": {"expires": 30}},
    "reconcile": {"task": "workflows.reconcile", "schedule": SECFLOW.reconcile_seconds, "options": {"expires": 30}},
    "forget_expired": {"task": "workflows.forget_expired", "schedule": 3600.0, "options": {"expires": 600}},
}
