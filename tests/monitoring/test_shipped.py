"""What ships beside the server speaks of metrics, alerts and chapters that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("fastapi")

import asyncio

import httpx

from offline_trader.cli.main import main
from offline_trader.export import OnnxPolicy
from offline_trader.markets import load_market
from offline_trader.monitoring import (
    DEFAULT_ALERTS,
    SIGNALS,
    AlertSettings,
    Watch,
    read_alerts,
    summarise,
)
from offline_trader.serving import AuditLog, Desk, RiskLimits
from offline_trader.serving.http_server import make_app

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "offline_trader" / "monitoring"
RULES = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())["groups"][0]["rules"]
PANELS = json.loads((SHIPPED / "grafana.json").read_text())["panels"]
DOCUMENT = (ROOT / "docs" / "monitoring.md").read_text()
HEADINGS = set(re.findall(r"^###? (.+)$", DOCUMENT, re.MULTILINE))


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a server exposes after some decisions."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(
        "models", Path(__file__).parent.parent / "serving" / "conftest.py"
    )
    assert spec is not None
    assert spec.loader is not None
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    from offline_trader.features import observation_layout
    from offline_trader.simulator import SimulatorConfig

    folder, layout = tmp_path_factory.mktemp("shipped"), observation_layout()
    rules = SimulatorConfig(action_mode="target_long")
    models.linear_model(folder / "policy.onnx", rules, layout, models.lively(layout))
    policy, bars = OnnxPolicy(folder / "policy.onnx"), load_market("synthetic:ou?bars=520&seed=7")
    log = AuditLog(folder / "X.db")
    desk = Desk(policy, log, RiskLimits(max_price_age_s=1e12)).warm_up(bars.slice(0, 300))
    answers = [desk.on_bar(bar) for bar in bars.slice(300, 510)]
    rows = [each.decision.observation for each in answers]
    actions = [each.decision.action for each in answers]
    known = summarise(rows, actions, layout.features)  # type: ignore[arg-type]
    watch = Watch({"X": desk}, AlertSettings(), None, lambda _: known)
    for each in answers:
        watch.decided("X", each, 0.001)
    asyncio.run(watch.measure())
    watch.look()
    app = make_app({"X": desk}, watcher=watch)

    async def ask() -> str:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.get("/metrics")).text

    return asyncio.run(ask())


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\boffline_trader_\w+", text))


def family(names: set[str]) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def test_every_metric_of_the_rules_and_panels_is_exposed(metrics: str) -> None:
    exposed = {re.split(r"[{ ]", line)[0] for line in metrics.splitlines() if line[0] != "#"}
    rules = set().union(*(names_in(rule["expr"]) for rule in RULES))
    panels = names_in(json.dumps(PANELS))
    assert len(rules) >= 8
    assert len(panels) >= 12
    assert rules | panels <= exposed
    for signal in re.findall(r'signal=\\"(\w+)\\"', json.dumps(PANELS)):
        assert f'signal="{signal}"' in metrics
        assert signal in SIGNALS
    described = set(re.findall(r"`(offline_trader_\w+)`", DOCUMENT))
    assert family(rules | panels) <= described <= family(exposed)


def test_the_metrics_are_well_formed(metrics: str) -> None:
    sample = re.compile(r'[a-z_]+(\{([a-z]+="[^"]*",?)+\})? -?[0-9.e+-]+(inf|nan)?')
    families = []
    for line in metrics.splitlines():
        if line.startswith("# TYPE"):
            families.append(line.split()[2])
        elif not line.startswith("#"):
            assert sample.fullmatch(line), line
            assert line.startswith(families[-1]), line
    assert len(families) == len(set(families))


def test_every_alert_has_its_chapter_in_the_runbook() -> None:
    assert set(DEFAULT_ALERTS) <= HEADINGS
    anchors = {heading.lower() for heading in HEADINGS}
    for rule in RULES:
        place = rule["annotations"]["runbook"]
        if "$labels.alert" not in place:
            assert place.partition("#")[2] in anchors, place
        assert rule["labels"]["severity"] in ("warning", "critical")
    table = DOCUMENT.partition("## Drift")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == set(DEFAULT_ALERTS)
    for name, rule in DEFAULT_ALERTS.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", table, re.MULTILINE)
        assert row.rstrip("| ").endswith(rule.severity)


def test_a_grafana_dashboard_has_panels_that_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {
            (place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert all(target["expr"] for target in panel["targets"])


def test_the_files_are_written_and_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run: Callable[..., Any] = main
    for said in ("written", "is there already"):
        with pytest.raises(SystemExit) as stop:
            run(["alerts", "write", "monitoring"])
        assert not stop.value.code
        assert capsys.readouterr().out.count(said) == 3
    settings = read_alerts(tmp_path / "monitoring" / "alerts.yaml")
    assert [each.name for each in settings.channels] == ["file"]
    assert (tmp_path / "monitoring" / "grafana.json").read_bytes() == (
        SHIPPED / "grafana.json"
    ).read_bytes()
