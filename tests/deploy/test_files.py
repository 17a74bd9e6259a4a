"""Deployment files name commands, options, settings and files that exist. No container is built here."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from skyscale.settings import (
    HostSettings,
    JobSettings,
    LogSettings,
    RailwaySettings,
    Settings,
    TraceSettings,
    VmSettings,
)
from tests.docs.commands import check_skyscale

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ALIASES = {
    str(field.alias)
    for model in (Settings, HostSettings, JobSettings, LogSettings, RailwaySettings, TraceSettings, VmSettings)
    for field in model.model_fields.values()
}
COMPOSE = [DEPLOY / "docker-compose.yml", ROOT / "docker-compose.observability.yml"]
DOCKERFILES = sorted((DEPLOY / "docker").glob("*.Dockerfile"))
FOREIGN = ("GF_", "POSTGRES_", "SKYSCALE_DOMAIN")


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def is_setting(name: str) -> bool:
    return name in ALIASES or name.startswith(FOREIGN)


@pytest.mark.parametrize("path", sorted([*ROOT.glob("*.yml"), *DEPLOY.rglob("*.y*ml")]), ids=lambda path: path.name)
def test_yaml_is_read(path: Path) -> None:
    assert all(isinstance(document, dict) for document in documents(path))


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_compose_files_name_settings_and_files_that_exist(path: Path) -> None:
    (compose,) = documents(path)
    for name, service in compose["services"].items():
        assert all(map(is_setting, service.get("environment", {}))), name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            # The first file's folder is where relative paths begin, and that is deploy/.
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"], volume
        if "build" in service:
            dockerfile = (ROOT / service["build"]["dockerfile"]).read_text()
            assert f"AS {service['build']['target']}\n" in dockerfile
            check_skyscale(["skyscale", *service["command"]])


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfiles_install_extras_and_start_programs_that_exist(path: Path) -> None:
    text = path.read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r'"\.\[(\w+)\]"', text)) <= extras.keys()
    for source in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split())
    for line in re.findall(r"^ENV (.+)$", text, re.MULTILINE):
        assert all(is_setting(pair.partition("=")[0]) for pair in line.split())
    starts = [json.loads(line) for line in re.findall(r"^ENTRYPOINT (.+)$", text, re.MULTILINE)]
    for start in starts:
        if start[0] == "python":
            module = ROOT / "src" / Path(*start[2].split(".")) / "__main__.py"
            assert not [word for word in start[3:] if word.startswith("--") and f'"{word}"' not in module.read_text()]
    for line in re.findall(r"^CMD (.+)$", text, re.MULTILINE):
        check_skyscale(["skyscale", *json.loads(line)])


def test_what_the_images_copy_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for path in DOCKERFILES:
        for source in re.findall(r"^COPY (.+) \S+$", path.read_text(), re.MULTILINE):
            assert set(source.split()) <= kept


def test_the_kubernetes_manifests_fit_together() -> None:
    made = documents(DEPLOY / "kubernetes" / "skyscale.yaml")
    kinds = {document["kind"]: document for document in made}
    pod = kinds["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    check_skyscale(["skyscale", *container["args"]])
    assert all(is_setting(variable["name"]) for variable in container["env"])
    assert kinds["Service"]["spec"]["selector"] == pod["metadata"]["labels"]
    assert kinds["Deployment"]["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    (volume,) = pod["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == kinds["PersistentVolumeClaim"]["metadata"]["name"]
    assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"]]
    port = container["args"][container["args"].index("--port") + 1]
    assert container["ports"][0]["containerPort"] == kinds["Service"]["spec"]["ports"][0]["port"] == int(port)


def test_the_unit_starts_a_command_with_settings_that_exist() -> None:
    unit = (DEPLOY / "systemd" / "skyscale.service").read_text()
    (start,) = re.findall(r"^ExecStart=\S*/(skyscale .+)$", unit, re.MULTILINE)
    check_skyscale(shlex.split(start))
    (environment,) = re.findall(r"^Environment=(.+)$", unit, re.MULTILINE)
    assert all(is_setting(pair.partition("=")[0]) for pair in environment.split())
