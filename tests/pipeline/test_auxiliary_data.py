"""What the line gives the auxiliary stage: right bars and labels, nothing of later ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offline_trader.datasets import CollectConfig, collect, load_transitions
from offline_trader.datasets.catalog import dataset_facts
from offline_trader.envs import EnvConfig, make_market
from offline_trader.errors import ConfigError, DataError
from offline_trader.learning.settings import AuxiliaryConfig, LearnerConfig
from offline_trader.pipeline.auxiliary_data import labelled_data
from offline_trader.pipeline.pretraining import pretrain
from offline_trader.pipeline.settings import PretrainConfig
from offline_trader.pipeline.trained_runs import finished_run, trained_policy
from offline_trader.pipeline.validation import ValidationConfig

BARS = "synthetic:turbulent?bars=1100&seed={}"
ENV = EnvConfig(market=(BARS.format(1), BARS.format(2)), end="1972-12-31", episode_bars=60)
RULES = ("technical?epsilon=0.2", "random", "ma_cross")
ID = "own/labelled-v0"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("datasets")
    collect(CollectConfig(ID, ENV, RULES, 3_000, score_episodes=2), root=folder)
    return folder


def data_of(root: Path, until: str | None, config: AuxiliaryConfig | None = None):  # type: ignore[no-untyped-def]
    own = dataset_facts(ID, root)
    later = None if until is None else ValidationConfig(end=until).env(own.env_config)
    transitions = load_transitions(ID, root)
    config = config or AuxiliaryConfig()
    return labelled_data(ID, own, transitions, later, config, 3, root), own, later


def test_each_observation_is_of_its_bar_and_its_label_of_the_next(root: Path) -> None:
    data, own, later = data_of(root, "1974-02-28")
    assert later is not None
    for rows, env in ((data.training, own.env_config), (data.validation, later)):
        market = make_market(env)
        width = market.features.shape[1]
        np.testing.assert_array_equal(rows.observations[:, :width], market.features[rows.bars])
        returns = np.full(len(market), np.nan)
        for start, stop in zip(market.start, market.stop, strict=True):
            returns[start : stop - 1] = np.diff(np.log(market.prices[start:stop, 3]))
        np.testing.assert_allclose(rows.labels.next_return, returns)
        assert set(np.unique(np.searchsorted(market.stop, rows.bars, side="right"))) == {0, 1}
    bars = len(make_market(own.env_config))
    np.testing.assert_array_equal(data.training.bars[-bars:], np.arange(bars))
    assert np.isnan(data.training.actions[-bars:]).all()
    known = np.isfinite(data.training.actions[:-bars])
    assert 0.5 < known.mean() < 0.85  # a third of the behaviours draws
    assert np.isfinite(data.validation.actions).all()
    assert (data.validation.labels.volume != -1).mean() > 0.95  # the bars before them are known
    assert np.isfinite(data.validation.labels.garch).all()


def test_no_training_label_reads_a_bar_that_validates(root: Path) -> None:
    config = AuxiliaryConfig(horizon=10, holdout=0.25)
    data, own, _ = data_of(root, None, config)
    assert not data.validated
    market = make_market(own.env_config)
    for k, (start, stop) in enumerate(zip(market.start, market.stop, strict=True)):
        cut = start + round(0.75 * (stop - start))
        mine = [
            rows.bars[(rows.bars >= start) & (rows.bars < stop)]
            for rows in (data.training, data.validation)
        ]
        assert mine[0].max() + config.horizon < cut <= mine[1].min(), k
    with pytest.raises(DataError, match="cannot be cut"):
        data_of(root, None, replace(config, horizon=5_000))


def test_a_run_keeps_its_encoder_and_says_what_each_head_came_to(
    root: Path, tmp_path: Path
) -> None:
    plan = PretrainConfig(
        dataset=ID,
        stages=("aux",),
        learner=LearnerConfig(hidden=(8, 8)),
        auxiliary=AuxiliaryConfig(updates=60, evaluate_interval=20, checkpoint_interval=20),
        validation=ValidationConfig(end="1974-02-28"),
    )
    run = finished_run(pretrain(plan, tmp_path / "aux", root=root).path)
    saved = np.load(run.path / "encoder.npz", allow_pickle=False)
    policy = trained_policy(run)
    weight = policy.encoder_copy()[0].state_dict()["_layers.0.weight"]
    np.testing.assert_array_equal(weight, saved["encoder._layers.0.weight"])
    (row,) = run.facts.history
    assert row.stage == "auxiliary"
    told = " ".join(row.told)
    for words in (
        "next return",
        "GARCH",
        "volume",
        "majority class",
        "action",
        "regime",
        "direction",
    ):
        assert words in told
    assert len(run.facts.further["auxiliary"]["heads"]) == 5


def test_it_is_the_first_stage() -> None:
    assert PretrainConfig(stages=("aux", "bc", "dagger", "direct", "cql")).stages == (
        *("auxiliary", "clone", "dagger", "direct", "offline"),
    )
    with pytest.raises(ConfigError, match="aux as the first one"):
        PretrainConfig(stages=("bc", "aux"))
