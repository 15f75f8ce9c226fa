"""
What deploy/ says of rs3gw is what rs3gw is: its settings, its ports, its user and the time that it takes to stop.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import rs3gw
from rs3gw.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
DEFAULTS = Settings()
STOP_SETTINGS = ("RS3GW_LAME_DUCK_SECONDS", "RS3GW_DRAIN_SECONDS")
CLEANING_SECONDS = 10
"""What a stop may take besides its drain."""


def document(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


@pytest.fixture
def pod() -> Any:
    return document("kubernetes/base/statefulset.yaml")["spec"]["template"]["spec"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_setting_that_is_named_exists(path):
    """A gateway does not start with one that nobody declared."""
    declared = {PREFIX + field.name.upper() for field in dataclasses.fields(Settings)}
    # Of Kubernetes itself, in a comment that says why they must not be there.
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+", path.read_text())) - {f"{PREFIX}PORT"}

    assert named <= declared


def test_a_container_of_compose_has_its_drain_and_what_comes_before_and_after_it_until_it_is_killed():
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["rs3gw"]
    period = float(service["stop_grace_period"].removesuffix("s"))
    lame_duck = float(
        re.fullmatch(r"\$\{RS3GW_LAME_DUCK_SECONDS:-(.*)\}", service["environment"]["RS3GW_LAME_DUCK_SECONDS"])[1]
    )

    assert period >= lame_duck + DEFAULTS.drain_seconds + CLEANING_SECONDS


def test_a_pod_has_its_drain_and_what_comes_before_and_after_it_until_it_is_killed(pod):
    (container,) = pod["containers"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}

    expected = sum(float(environment[name]) for name in STOP_SETTINGS) + CLEANING_SECONDS

    assert pod["terminationGracePeriodSeconds"] >= expected


def test_a_pod_runs_as_the_images_user_where_the_image_stores(pod):
    image = (ROOT / "Dockerfile").read_text()
    (container,) = pod["containers"]
    context = pod["securityContext"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}

    assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in image
    assert f"RS3GW_STORAGE_ROOT={environment['RS3GW_STORAGE_ROOT']}" in image
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/var/lib/rs3gw", "/tmp"]


def test_what_is_deployed_is_the_version_that_stands_beside_it():
    chart, kustomization = document("helm/rs3gw/Chart.yaml"), document("kubernetes/base/kustomization.yaml")

    assert chart["appVersion"] == rs3gw.__version__
    assert [image["newTag"] for image in kustomization["images"]] == [rs3gw.__version__]


def test_the_chart_waits_as_long_as_the_gateway_drains_by_default():
    assert document("helm/rs3gw/values.yaml")["drainSeconds"] == DEFAULTS.drain_seconds
