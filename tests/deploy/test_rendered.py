"""
What kustomize and helm make of deploy/ is what Kubernetes takes, and the two say the same.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.schemas import LOCATION

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "rs3gw"
SCHEMAS = Path(os.environ["RS3GW_DEPLOY"])
VERSIONS = sorted(path.name for path in SCHEMAS.iterdir())
VARIANTS = {"base": [], "tls": ["tls.secretName=rs3gw-tls"]}
"""The folders of deploy/kubernetes, and the values with which the chart says the same."""
OTHER_VALUES = [
    "image.pullPolicy=Always,imagePullSecrets[0].name=registry",
    "settings.RS3GW_WORKERS=4,drainSeconds=60,lameDuckSeconds=10",
    "persistence.storageClassName=fast,persistence.accessModes[0]=ReadWriteOncePod",
    "service.type=LoadBalancer,service.annotations.a=b,podAnnotations.c=d",
    "nodeSelector.disk=nvme,tolerations[0].operator=Exists",
]


def run(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)


def kustomized(variant: str) -> str:
    done = run("kustomize", "build", str(ROOT / "deploy" / "kubernetes" / variant))
    assert done.returncode == 0, done.stderr
    return done.stdout


def templated(*values: str, release: str = "rs3gw") -> str:
    chosen = [word for value in values for word in ("--set", value)]
    version = VERSIONS[-1].removeprefix("v")
    done = run("helm", "template", release, str(CHART), "--kube-version", version, *chosen)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The objects by kind and name, with their environments in the order of the names: that one carries no meaning."""
    found = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(text) if each}
    for container in containers(found):
        for several in ("env", "volumeMounts"):
            container[several].sort(key=lambda item: item["name"])
    for each in found.values():
        volumes = each["spec"].get("template", {}).get("spec", {}).get("volumes", [])
        volumes.sort(key=lambda volume: volume["name"])
    return found


def containers(found: Mapping[tuple[str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    sets = [each for (kind, _), each in found.items() if kind == "StatefulSet"]
    return [container for each in sets for container in each["spec"]["template"]["spec"]["containers"]]


def judged(text: str, version: str) -> dict[str, Any]:
    """What kubeconform says; without an object that is wrong it says nothing but its summary."""
    done = run(
        *("kubeconform", "-strict", "-summary", "-output", "json"),
        *("-schema-location", f"{SCHEMAS / version}/{LOCATION}"),
        stdin=text,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_kustomize_and_helm_say_the_same(variant):
    expected = objects(kustomized(variant))

    found = objects(templated(*VARIANTS[variant]))

    assert len(expected) == 5
    assert expected == found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_kubernetes_knows_every_field_that_kustomize_writes(variant, version):
    found = judged(kustomized(variant), version)

    assert found["resources"] == []
    assert found["summary"]["valid"] == 5


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", ["", *VARIANTS["tls"], *OTHER_VALUES])
def test_kubernetes_knows_every_field_that_the_chart_writes(values, version):
    found = judged(templated(*filter(None, [values])), version)

    assert found["resources"] == []
    assert found["summary"]["valid"] == 5


def test_a_field_that_kubernetes_does_not_know_is_found():
    misspelt = kustomized("base").replace("enableServiceLinks", "enableServicelinks")

    found = judged(misspelt, VERSIONS[-1])

    assert found["summary"]["invalid"] == 1


def test_a_chart_without_a_budget_and_a_policy_leaves_them_out():
    kinds = {kind for kind, _ in objects(templated("podDisruptionBudget.enabled=false,networkPolicy.enabled=false"))}

    assert kinds == {"Service", "StatefulSet"}


def test_two_releases_in_one_namespace_share_no_name():
    first, second = (set(objects(templated(release=release))) for release in ("photos", "backups"))

    assert not first & second


def test_helm_finds_nothing_wrong_with_the_chart():
    done = run("helm", "lint", "--strict", str(CHART), "--kube-version", VERSIONS[-1].removeprefix("v"))

    assert done.returncode == 0, done.stdout
