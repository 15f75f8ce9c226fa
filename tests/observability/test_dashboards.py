"""
What deploy/grafana and deploy/prometheus ask for is what a gateway tells: every metric by its name, every query by
Prometheus itself, every alert by the tests that stand beside the rules.

promtool and Prometheus are Debian's package ``prometheus``.  Where it is not installed what needs it is skipped and
says so; PROMETHEUS=required makes that a failure.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest
import yaml
from botocore.exceptions import ClientError
from prometheus_client.parser import text_string_to_metric_families

from loadtests.gateway import free_port, running
from rs3gw.errors import TABLE

from .conftest import BEARER, client

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules.yml"
BOARD = json.loads((ROOT / "deploy/grafana/dashboards/rs3gw.json").read_text())
PAGE = ROOT / "docs/observability.md"
START_SECONDS = 30.0

PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
ASKED = [*QUERIES, *((rule["alert"], rule["expr"]) for rule in ALERTS)]

WORDS = {
    "and", "bool", "by", "count", "histogram_quantile", "increase", "max", "min", "offset", "on", "or",
    "predict_linear", "rate", "sum", "time", "unless", "vector", "without",
}  # fmt: skip
"""Of PromQL, those that are used: anything else that stands alone in a query is the name of a metric."""
PROMETHEUS_OWN = {"up"}


def metrics_of(query: str) -> set[str]:
    """The names of the metrics that a query asks for."""
    bare = re.sub(r'"[^"]*"', "", query)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(by|on|without)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\boffset\s+\w+", "", bare)
    return set(re.findall(r"\b[a-zA-Z_][a-zA-Z0-9_]*\b", bare)) - WORDS


def found(tool: str) -> str:
    """Where a tool of Prometheus's is; the test is skipped where it is not, or fails where it has to be."""
    where = shutil.which(tool)
    if where is None:
        if os.environ.get("PROMETHEUS") == "required":
            pytest.fail(f"{tool} is not installed: apt-get install prometheus")
        pytest.skip(f"{tool} is not installed: apt-get install prometheus")
    return where


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """One that has been asked a few things over both protocols."""
    import grpc
    import s3_pb2
    from s3_pb2_grpc import BucketServiceStub, ObjectServiceStub

    with running(tmp_path_factory.mktemp("board") / "root", settings={"RS3GW_SCRUB_RATE": "1MiB"}) as started:
        asking = client(started)
        asking.create_bucket(Bucket="bucket")
        asking.put_object(Bucket="bucket", Key="key", Body=b"cat")
        asking.get_object(Bucket="bucket", Key="key")
        with contextlib.suppress(ClientError):
            asking.get_object(Bucket="bucket", Key="none")
        with grpc.insecure_channel(started.target) as channel:
            BucketServiceStub(channel).ListBuckets(s3_pb2.ListBucketsRequest(), metadata=(BEARER,))
            list(
                ObjectServiceStub(channel).GetObject(
                    s3_pb2.GetObjectRequest(bucket="bucket", key="key"), metadata=(BEARER,)
                )
            )
        yield started


@pytest.fixture(scope="module")
def told(gateway):
    """The names of the samples that it tells of, with the labels that each may have."""
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(httpx.get(f"{gateway.url}/-/metrics", trust_env=False).text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


@pytest.mark.parametrize(("title", "query"), ASKED)
def test_every_metric_that_is_asked_for_is_told(told, title, query):
    assert metrics_of(query)
    assert metrics_of(query) - PROMETHEUS_OWN <= told.keys()


@pytest.mark.parametrize(("title", "query"), ASKED)
def test_every_label_that_is_asked_for_is_one_of_its_metric(told, title, query):
    # What Prometheus adds of itself, and what only several workers have.
    known = {"job", "instance", "pid"}.union(*(told[name] for name in metrics_of(query) - PROMETHEUS_OWN))
    selected = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', query)
    grouped = [name for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query) for name in re.findall(r"\w+", group)]

    assert {*selected, *grouped} <= known


def test_a_query_of_a_metric_that_is_not_there_would_be_noticed(told):
    assert {"rs3gw_request_total"} == metrics_of('sum by (code) (rate(rs3gw_request_total{code!="OK"}[5m])) > 0')
    assert "rs3gw_request_total" not in told


def test_faults_that_page_are_all_that_are_ours():
    """SlowDown has an alert of its own, and what is not implemented is what the client asked for."""
    ours = {error.code for error in TABLE.values() if error.http >= 500} - {"SlowDown", "NotImplemented"}
    (rule,) = (rule for rule in ALERTS if rule["alert"] == "Rs3gwErrors")

    assert ours == set(re.search(r'code=~"([^"]*)"', rule["expr"])[1].split("|"))


def test_every_alert_says_how_bad_it_is_and_what_to_do():
    assert len(ALERTS) == len({rule["alert"] for rule in ALERTS})
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}
        for page in re.findall(r"docs/[\w-]+\.md", rule["annotations"]["description"]):
            assert (ROOT / page).is_file()


def test_every_alert_has_a_test():
    tried = (RULES.parent / "rules_test.yml").read_text()

    for rule in ALERTS:
        assert f"alertname: {rule['alert']}\n" in tried


def test_the_rules_hold_by_their_own_tests():
    promtool = found("promtool")
    for command in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "rules.yml"],
        ["test", "rules", "rules_test.yml"],
    ):
        done = subprocess.run([promtool, *command], cwd=RULES.parent, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def prometheus(gateway, tmp_path_factory):
    """Prometheus with the rules of deploy/, which has scraped the gateway; its URL."""
    binary = found("prometheus")
    home, port = tmp_path_factory.mktemp("prometheus"), free_port()
    settings = yaml.safe_load((RULES.parent / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(RULES)]
    settings["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{gateway.rest_port}"]}]
    (home / "prometheus.yml").write_text(yaml.safe_dump(settings))
    process = subprocess.Popen(
        [
            binary,
            f"--config.file={home}/prometheus.yml",
            f"--storage.tsdb.path={home}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + START_SECONDS
        while not is_warm(url):
            assert time.monotonic() < until, "Prometheus has not scraped the gateway"
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.communicate()


def is_warm(url: str) -> bool:
    """Whether there were scrapes enough for rates, and every rule has been evaluated."""
    try:
        if httpx.get(f"{url}/-/ready", trust_env=False).status_code != 200:
            return False
        scrapes = ask(url, 'sum(sum_over_time(up{job="rs3gw"}[1m]))')
        groups = httpx.get(f"{url}/api/v1/rules", trust_env=False).json()["data"]["groups"]
    except httpx.TransportError:
        return False
    judged = all(rule["health"] != "unknown" for group in groups for rule in group["rules"])
    return judged and bool(scrapes) and float(scrapes[0]["value"][1]) >= 3


def ask(url: str, query: str) -> list[dict]:
    answer = httpx.get(f"{url}/api/v1/query", params={"query": query}, trust_env=False).json()
    assert answer["status"] == "success", (query, answer)
    return answer["data"]["result"]


def filled(query: str) -> str:
    """A query as Grafana sends it."""
    return query.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$protocol", ".*")


QUIET = {"Since the last full pass", "Damaged, and dropped events"}
"""What may have nothing to show of a gateway that has just begun."""


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_prometheus_answers_what_the_dashboard_asks(prometheus, title, query):
    answer = ask(prometheus, filled(query))

    assert "$" not in filled(query)
    assert answer or title in QUIET


def test_prometheus_evaluates_every_rule_and_raises_nothing_of_a_gateway_that_is_well(prometheus):
    groups = httpx.get(f"{prometheus}/api/v1/rules", trust_env=False).json()["data"]["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    # The disk of whoever runs this may well be nearly full.
    loud = {name for name, rule in rules.items() if rule["state"] != "inactive"} - {"Rs3gwDiskFillsUp"}

    assert {rule["alert"] for rule in ALERTS} == set(rules)
    assert {"ok"} == {rule["health"] for rule in rules.values()}
    assert set() == loud


def test_the_dashboard_is_one_that_grafana_takes():
    """Its form, as far as that can be judged without Grafana: identities, places, and where the figures come from."""
    ids = [panel["id"] for panel in BOARD["panels"]]
    titles = [panel["title"] for panel in BOARD["panels"]]
    variables = {each["name"] for each in BOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(BOARD["panels"]))) - {"__rate_interval"}

    assert len(ids) == len(set(ids))
    assert len(titles) == len(set(titles))
    assert variables == used
    assert {"stat", "timeseries", "heatmap"} == {panel["type"] for panel in PANELS}
    taken = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells
    for panel in PANELS:
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references))
        assert {"type": "prometheus", "uid": "${datasource}"} == panel["datasource"]
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] == "heatmap"


def test_what_is_provisioned_is_where_compose_puts_it():
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]
    sources = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yaml").read_text())
    (provider,) = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/rs3gw.yaml").read_text())["providers"]
    mounts = dict(volume.split(":")[:2] for name in ("grafana", "prometheus") for volume in services[name]["volumes"])
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]

    assert {"prometheus", "grafana", "jaeger"} == {
        name for name, each in services.items() if each.get("profiles") == ["observe"]
    }
    assert provider["options"]["path"] == mounts["./deploy/grafana/dashboards"]
    assert "/etc/grafana/provisioning" == mounts["./deploy/grafana/provisioning"]
    assert "/etc/prometheus" == mounts["./deploy/prometheus"]
    for source in sources["datasources"]:
        assert re.fullmatch(r"http://(\w+):\d+", source["url"])[1] in services
    assert job["static_configs"] == [{"targets": ["rs3gw:9000"]}]
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service["ports"])


def test_the_guide_lists_every_metric_with_its_type_and_labels(gateway):
    """And no other; ``pid`` is what several workers have besides."""
    listed = {}
    for name, kind, labels in re.findall(
        r"^\| `(\w+)` \| (counter|gauge|histogram) \| (.*?) ?\| ", PAGE.read_text(), re.MULTILINE
    ):
        listed[name] = (kind, frozenset(re.findall(r"\w+", labels)) - {"pid"})
    told = {}
    for family in text_string_to_metric_families(httpx.get(f"{gateway.url}/-/metrics", trust_env=False).text):
        if not family.name.endswith("_created"):
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = frozenset(label for sample in family.samples for label in sample.labels) - {"le"}
            told[name] = (family.type, labels)

    assert told == listed


def test_the_guide_lists_every_alert_with_its_severity():
    listed = dict(re.findall(r"^\| `(Rs3gw\w+)` \| (page|warning) \| ", PAGE.read_text(), re.MULTILINE))

    assert {rule["alert"]: rule["labels"]["severity"] for rule in ALERTS} == listed
