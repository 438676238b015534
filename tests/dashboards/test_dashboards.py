"""dashboards/: every expression is asked of a Prometheus that scrapes a server, and every alert is made to fire."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from kit import SLOW, Server

ROOT = Path(__file__).resolve().parents[2]

DASHBOARD = ROOT / "dashboards/grafana.json"
RULES = ROOT / "dashboards/alerts.yml"
UNPACKED = ROOT / ".venv/prometheus"
PATIENCE_S = 60 * SLOW
VARIABLES = {"$job": ".*", "$instance": ".*", "$__rate_interval": "1m"}

with_prometheus = pytest.mark.skipif(not (shutil.which("promtool") or UNPACKED.exists()), reason="no Prometheus here")
UNITS = {"short", "s", "percentunit", "ops", "reqps"}  # of Grafana's, those that fit here
COLUMNS = 24


def program(name: str) -> str:
    return shutil.which(name) or str(UNPACKED / name)


def expressions() -> Iterator[tuple[str, str]]:
    """Of the dashboard: the panel's title and the expression."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in VARIABLES.items():
                text = text.replace(name, value)
            yield panel["title"], text


def listening(process: subprocess.Popen[bytes], log: Path) -> str:
    """Its address, which is in the log once it listens."""
    end = time.monotonic() + PATIENCE_S
    while not (found := re.search(r'msg="Listening on" address=(\S+)', text := log.read_text(encoding="utf-8"))):
        assert process.poll() is None and time.monotonic() < end, text
        time.sleep(0.1)
    return found.group(1)


@dataclass
class Prometheus:
    url: str

    def get(self, path: str, **query: str) -> Any:
        reply = requests.get(f"{self.url}/api/v1/{path}", params=query, timeout=PATIENCE_S)
        assert reply.json()["status"] == "success", (query, reply.text)
        return reply.json()["data"]

    def values(self, expression: str) -> list[float]:
        return [float(one["value"][1]) for one in self.get("query", query=expression)["result"]]

    def wait(self, expression: str) -> None:
        """Until it gives something but 0."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                if any(self.values(expression)):
                    return
            except requests.ConnectionError:
                pass
            assert time.monotonic() < end, f"still nothing: {expression}"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("serve") / "log")
    try:
        yield server.wait_ready()
    finally:
        server.close()


@pytest.fixture(scope="module")
def prometheus(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    job = {"job_name": "cllm", "scrape_interval": "500ms", "static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}]}
    config = {"global": {"evaluation_interval": "1s"}, "rule_files": [str(RULES)], "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    flags = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", "--web.listen-address=127.0.0.1:0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program("prometheus"), *flags], stdout=log, stderr=log, cwd=folder)
        try:
            yield Prometheus(f"http://{listening(process, folder / 'log')}")
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def watched(server: Server, prometheus: Prometheus) -> Prometheus:
    """Scraped before and after some requests, of which the later find the beginning of the first."""
    prometheus.wait("cllm_model_info")
    for _ in range(2):
        server.generate("one two three four " * 10, max_tokens=20, temperature=0, ignore_eos=True)
    server.get("/nothing")
    prometheus.wait("rate(cllm_prefix_hit_tokens_total[1m])")
    return prometheus


def test_panels_lie_beside_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS, panel["title"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    bottom = max(y for _, y in taken) + 1
    assert len(taken) == COLUMNS * bottom  # and leave no hole


def test_it_can_be_imported_anywhere() -> None:
    """No data source of one installation, no id that may be taken there, and variables that follow the data."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    source = {"type": "prometheus", "uid": "${datasource}"}
    first, *others = dashboard["templating"]["list"]
    assert "id" not in dashboard and dashboard["uid"] and dashboard["schemaVersion"] >= 36
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    # All stands for the values that were found: with .* for it, `up` would count whatever else is scraped.
    assert all(one["datasource"] == source and "allValue" not in one for one in others)
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        targets = panel["targets"]
        assert all(one["datasource"] == source and one["legendFormat"] for one in [panel | {"legendFormat": "-"}, *targets])
        assert len({one["refId"] for one in targets}) == len({one["legendFormat"] for one in targets}) == len(targets)
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]


@with_prometheus
def test_every_panel_shows_something(watched: Prometheus) -> None:
    empty = [(title, text) for title, text in expressions() if not watched.values(text)]
    assert not empty


@with_prometheus
def test_only_metrics_that_exist(watched: Prometheus) -> None:
    known = set(watched.get("label/__name__/values"))
    texts = [text for _, text in expressions()] + [RULES.read_text(encoding="utf-8")]
    named = {name for text in texts for name in re.findall(r"\bcllm_\w+", text)}
    assert len(named) > 15 and named <= known


@with_prometheus
def test_rules_are_evaluated(watched: Prometheus) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        rules = [rule for group in watched.get("rules")["groups"] for rule in group["rules"]]
        if {rule["health"] for rule in rules} == {"ok"}:
            break
        assert time.monotonic() < end, rules
        time.sleep(0.2)
    assert {rule["state"] for rule in rules} == {"inactive"}


@with_prometheus
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    for path in (RULES, Path(__file__).parent / "alerts_test.yml"):
        shutil.copy(path, tmp_path)
    for command in (["check", "rules", RULES.name], ["test", "rules", "alerts_test.yml"]):
        made = subprocess.run([program("promtool"), *command], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
        assert made.returncode == 0, made.stdout + made.stderr
