"""Own features in the line's settings: what is chosen, and what a changed file means for a walk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.features import admission, own
from offline_trader.pipeline import WALK_FORWARD
from offline_trader.pipeline.folds import LineJob
from offline_trader.pipeline.own_features import chosen_features
from offline_trader.pipeline.walking import walk_plan


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((own, "_NAMED"), (own, "_LOADED"), (admission, "_ADMITTED")):
        monkeypatch.setattr(module, name, {})
    monkeypatch.setattr(admission, "_SECONDS", 0.05)


def test_what_is_chosen_stands_beside_the_built_in_features_or_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def move(bars):\n    return bars['close'].pct_change()\n", encoding="utf-8")
    path = f"{file}:move"
    assert chosen_features() is None
    assert chosen_features([path], ["mood"]) == ("builtin", "mine.py:move", "signal:mood")
    assert chosen_features([], ["mood"], only=True) == ("signal:mood",)
    for wrong in ({"only": True}, {"trust": True}):
        with pytest.raises(ConfigError):
            chosen_features(**wrong)  # type: ignore[arg-type]


def test_a_walk_begins_where_its_features_do_and_is_another_one_with_other_code(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mine.py"
    code = "def move(bars):\n    return bars['close'].pct_change(400)\n"
    file.write_text(code, encoding="utf-8")
    market = ("synthetic:walk?bars=2500&seed=1",)
    (name,) = chosen_features([f"{file}:move"], only=True) or ()
    config = replace(WALK_FORWARD, env=EnvConfig(market, features=(name,)))
    _, folds = walk_plan(config)
    assert folds[0].train.start >= 400
    before = LineJob(config).to_dict()
    file.write_text(code + "# more\n", encoding="utf-8")
    chosen_features([f"{file}:move"], only=True)
    after = LineJob(config).to_dict()
    assert before.pop("feature_sha256") != after.pop("feature_sha256")
    assert before == after
    plain = LineJob(replace(config, env=EnvConfig(market))).to_dict()
    assert "feature_sha256" not in plain
