"""The typed environment: what is accepted, what is said about the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from secflow.runtime.layout import open_layout, take_lock
from secflow.settings import environment
from secflow.settings.environment import (
    ConfigurationError,
    load,
    local_cluster_problem,
    markdown_table,
    masked,
    variables,
)
from secflow.settings.values import Rate

COMPLETE = {
    "DATABASE_URL": "postgresql://secflow:pw@db:5432/secflow",
    "REDIS_URL": "redis://broker:6379/0",
    "SECRET_KEY": "k" * 50,
}


def problems_of(**environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load({**COMPLETE, **environ})
    return caught.value.problems


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", 10005),
        ("bind", "127.0.0.1"),
        ("debug", False),
        ("https", None),
        ("status_dialect", "seed"),
        ("max_replicas", 10),
        ("allow_privileged", False),
        ("wait_seconds", 10.0),
        ("pull_limit_seconds", 1800),
        ("setup_limit_seconds", 600),
        ("app_timeout_seconds", 300),
        ("job_timeout_seconds", 3600),
        ("trigger_rate", Rate(60, 60)),
        ("auth_mode", "own"),
        ("cors_allowed_origins", ()),
        ("allowed_hosts", ("localhost", "127.0.0.1", "[::1]")),
    ],
)
def test_defaults_are_those_of_the_contract(field: str, value: Any) -> None:
    assert getattr(load(COMPLETE), field) == value


@pytest.mark.parametrize(
    ("name", "raw", "field", "value"),
    [
        ("DEBUG", "Yes", "debug", True),
        ("HTTPS", "off", "https", False),
        ("PORT", "8080", "port", 8080),
        ("WAIT_SECONDS", "0.5", "wait_seconds", 0.5),
        ("TRIGGER_RATE", "off", "trigger_rate", None),
        ("TRIGGER_RATE", "5/second", "trigger_rate", Rate(5, 1)),
        ("STATUS_DIALECT", "readiness", "status_dialect", "readiness"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example, http://b:81", "cors_allowed_origins", ("https://a.example", "http://b:81")),
        ("DATABASE_URL", "postgresql://u@/n?host=/run/pg", "database_url", "postgresql://u@/n?host=/run/pg"),
        ("REDIS_URL", "unix:///run/valkey.sock?db=1", "redis_url", "unix:///run/valkey.sock?db=1"),
        ("DATA_DIR", "/var/lib/secflow", "data_dir", Path("/var/lib/secflow")),
        ("PORT", "", "port", 10005),
    ],
)  # fmt: skip
def test_a_value_becomes_its_type(name: str, raw: str, field: str, value: Any) -> None:
    assert getattr(load({**COMPLETE, name: raw}), field) == value


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "ten"),
        ("DEBUG", "maybe"),
        ("WAIT_SECONDS", "-1"),
        ("WAIT_SECONDS", "nan"),
        ("WAIT_SECONDS", "61"),
        ("TRIGGER_RATE", "0/minute"),
        ("TRIGGER_RATE", "60/fortnight"),
        ("LOG_LEVEL", "info"),
        ("AUTH_MODE", "none"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example/path"),
        ("DATABASE_URL", "mysql://u@h/n"),
        ("DATABASE_URL", "postgresql://u@h"),
        ("REDIS_URL", "http://h"),
        ("REDIS_URL", "rediss://h/0?ssl_cert_reqs=requird"),
        ("AUTH_ALGORITHMS", "none"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, raw: str) -> None:
    (problem,) = problems_of(**{name: raw})

    assert problem.startswith(f"{name}={raw!r} is not usable: allowed is ")


def test_all_wrong_values_are_listed_at_once() -> None:
    found = problems_of(PORT="x", DEBUG="perhaps", WAIT_SECONDS="long")

    assert [problem.split("=")[0] for problem in found] == ["DEBUG", "PORT", "WAIT_SECONDS"]


def test_what_is_required_is_named_with_a_way_out() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({})

    assert [problem.split(" ")[0] for problem in caught.value.problems] == ["DATABASE_URL", "REDIS_URL", "SECRET_KEY"]
    assert "manage.py up" in caught.value.problems[0]


def test_debug_needs_no_secret_key_and_code_readers_need_nothing() -> None:
    without_key = {name: value for name, value in COMPLETE.items() if name != "SECRET_KEY"}

    assert load({**without_key, "DEBUG": "true"}).secret_key is None
    assert load({}, missing_allowed=True).database_url is None


def test_a_secret_comes_out_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("s" * 60 + "\n")

    found = load({**COMPLETE, "SECRET_KEY": "", "SECRET_KEY_FILE": str(file)})

    assert found.secret_key == "s" * 60


def test_a_secret_given_twice_or_in_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    (twice,) = problems_of(SECRET_KEY_FILE=str(tmp_path))
    (absent,) = problems_of(SECRET_KEY="", SECRET_KEY_FILE=str(tmp_path / "no"))

    assert twice == "SECRET_KEY and SECRET_KEY_FILE are both set: give only one of them."
    assert absent == f"SECRET_KEY_FILE='{tmp_path / 'no'}' cannot be read: No such file or directory."


def test_secrets_are_never_shown() -> None:
    password = "very-secret"
    (problem,) = problems_of(DATABASE_URL=f"mysql://u:{password}@h/n")
    (short,) = problems_of(SECRET_KEY="short")
    (hostless,) = problems_of(REDIS_URL=f"redis://:{password}@")
    shown = repr(load({**COMPLETE, "DATABASE_URL": f"postgresql://u:{password}@h/n"}))

    assert password not in problem
    assert "mysql://u:********@h/n" in problem
    assert "'short'" not in short
    assert password not in hostless
    assert password not in shown
    assert COMPLETE["SECRET_KEY"] not in shown


@pytest.mark.parametrize(
    ("name", "raw", "shown"),
    [
        ("DATABASE_URL", "postgresql://u:top/secret@h:5432/n", "postgresql://********"),
        ("DATABASE_URL", "postgresql://u:12/secret@h/n", "postgresql://********"),
        ("DATABASE_URL", "postgresql://u:top#secret@h/n", "postgresql://********"),
        ("DATABASE_URL", "postgresql://u:top?secret@h/n", "postgresql://********"),
        ("DATABASE_URL", "postgresql://u:top[secret@h/n", "postgresql://********"),
        ("DATABASE_URL", "postgresql://u:secret", "postgresql://********"),
        ("DATABASE_URL", "postgresql://u:u@h/n?sslmode=require", "postgresql://u:********@h/n?sslmode=require"),
        ("DATABASE_URL", "postgresql://u@h/n?sslmode=require", "postgresql://u@h/n?sslmode=require"),
        ("DATABASE_URL", "postgresql://u@h/n?password=top&secret", "postgresql://u@h/n?password=********"),
        ("DATABASE_URL", "postgresql://u@h/n?a=b&p%61ssword=secret", "postgresql://u@h/n?a=b&p%61ssword=********"),
        ("REDIS_URL", "redis://:top/secret@h/0", "redis://********"),
        ("REDIS_URL", "secret", "********"),
        ("SECRET_KEY", "s://ecret", "********"),
    ],
)  # fmt: skip
def test_a_password_is_never_shown_however_it_is_written(name: str, raw: str, shown: str) -> None:
    (variable,) = (variable for variable in variables() if variable.name == name)

    assert masked(variable, raw) == shown


@pytest.mark.parametrize("password", ["top/secret", "top#secret", "top?secret", "top[secret"])
def test_an_address_with_an_unescaped_password_is_refused_without_it(password: str) -> None:
    (problem,) = problems_of(DATABASE_URL=f"postgresql://u:{password}@h:5432/n")

    assert problem.startswith("DATABASE_URL='postgresql://********' is not usable: allowed is ")


@pytest.mark.parametrize(
    ("environ", "start"),
    [
        ({"AUTH_MODE": "jwt", "AUTH_ISSUER": "i", "AUTH_AUDIENCE": "a"}, "AUTH_MODE=jwt needs exactly one of"),
        ({"AUTH_MODE": "jwt", "AUTH_JWT_KEY": "k", "AUTH_AUDIENCE": "a"}, "AUTH_ISSUER is not set"),
        ({"AUTH_MODE": "jwt", "AUTH_JWT_KEY": "k", "AUTH_ISSUER": "i"}, "AUTH_AUDIENCE is not set"),
        (
            {"AUTH_MODE": "jwt", "AUTH_JWKS_URL": "https://h/j", "AUTH_ISSUER": "i", "AUTH_AUDIENCE": "a",
             "AUTH_ALGORITHMS": "HS256"},
            "AUTH_ALGORITHMS names an HS algorithm",
        ),
        ({"AUTH_MODE": "service"}, "AUTH_SERVICE_URL is not set"),
        ({"AUTH_ALGORITHMS": ","}, "AUTH_ALGORITHMS is empty"),
        ({"SECRET_KEY": "only-sixteen-ch."}, "SECRET_KEY is too short"),
    ],
)  # fmt: skip
def test_values_that_contradict_each_other_are_refused(environ: dict[str, str], start: str) -> None:
    (problem,) = problems_of(**environ)

    assert problem.startswith(start)


@pytest.mark.parametrize(
    ("local", "debug", "bind", "allowed", "refused"),
    [
        ("false", "false", "0.0.0.0", "development", False),
        ("true", "true", "127.0.0.1", "development", False),
        ("true", "false", "127.0.0.1", "development", True),
        ("true", "false", "127.0.0.1", "loopback", False),
        ("true", "true", "0.0.0.0", "development", True),
        ("true", "false", "0.0.0.0", "loopback", True),
        ("true", "false", "0.0.0.0", "anywhere", False),
    ],
)
def test_the_local_cluster_stays_on_this_machine(
    local: str, debug: str, bind: str, allowed: str, refused: bool
) -> None:
    found = load({**COMPLETE, "LOCAL_CLUSTER": local, "DEBUG": debug, "BIND": bind, "LOCAL_CLUSTER_ALLOWED": allowed})

    assert (local_cluster_problem(found) is not None) is refused


def test_the_table_has_every_variable_once() -> None:
    lines = markdown_table().splitlines()[2:]

    assert [line.split("`")[1] for line in lines] == [variable.name for variable in variables()]
    assert len({variable.name for variable in variables()}) == len(lines)
    assert all(line.count("|") >= 4 for line in lines)


def test_variables_of_a_running_stand_fill_what_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = open_layout(tmp_path / "stand")
    layout.env.write_text("# comment\nREDIS_URL=redis://stand\nPORT=4711\n")
    monkeypatch.setenv("DATA_DIR", str(layout.root))
    monkeypatch.setenv("PORT", "12345")
    monkeypatch.delenv("REDIS_URL")

    environment.adopt_running_stand()
    before = environment.process_environment().get("REDIS_URL")
    handle = take_lock(layout)
    environment.adopt_running_stand()
    after = environment.process_environment()

    assert handle > 0
    assert before is None
    assert after["REDIS_URL"] == "redis://stand"
    assert after["PORT"] == "12345"
    monkeypatch.setenv("REDIS_URL", "")
