"""From bars to a model: collect, pretrain, finetune, export."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from offline_trader.config import load_config, with_settings
from offline_trader.errors import ConfigError
from offline_trader.pipeline.progress import Progress
from offline_trader.workbench.market_sources import Day, MarketLike, day_text, sources_of
from offline_trader.workbench.progress_bars import progress_for
from offline_trader.workbench.results import Dataset, Model, Trained
from offline_trader.workbench.wording import in_python
from offline_trader.workers import Workers

if TYPE_CHECKING:
    from offline_trader.policies import ForeignPolicy

__all__ = [
    "collect",
    "expert_texts",
    "export_policy",
    "finetune",
    "observed",
    "pretrain",
    "resolved",
]

T = TypeVar("T")
Rule = str | Callable[..., Any]


@in_python
def collect(
    market: MarketLike | Sequence[MarketLike] | None = None,
    *,
    experts: Sequence[Rule] | None = None,
    start: Day | None = None,
    end: Day | None = None,
    dataset: str | None = None,
    transitions: int | None = None,
    logs: Sequence[str | Path] = (),
    features: Rule | Sequence[Rule] = (),
    signals: Sequence[str] = (),
    signal_files: Sequence[str | Path] = (),
    features_only: bool = False,
    trust_features: bool = False,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool | Progress = True,
) -> Dataset:
    """Let experts trade in the simulator; what happened becomes a Minari dataset.

    Args:
        market: bars, a frame, a file or a built-in name (``sp500`` by default), or several.
        experts: ``technical?weight=2&epsilon=0.1``, ``my_rules.py:dips``, or a rule that is a
            function in a file; the default mixture if not given.
        start, end: first and last date of the training range. Later bars stay unseen.
        dataset: its id, as ``sp500/experts-v0``.
        transitions: at least so many steps.
        logs: files of trades that are replayed; alone once from start to end.
        features: causal functions of the bars' frame, or ``my_features.py:signals``, beside the
            built-in features; later steps of this process know them by name.
        signals: numeric columns of the bars to observe, or of ``signal_files``.
        signal_files: files of times and signals; a bar gets what is known at its end.
        features_only: without the built-in features.
        trust_features: use features that read the future all the same.
        seed: of starts, draws and noise.
        settings: others by dotted key, such as ``{"env.simulator.commission_bps": 2}``.
        root: folder of all datasets; by default where Minari looks.
        resume: go on with an interrupted collection; a finished one is taken as it is.
        overwrite: replace a dataset of this id.
        progress: show a bar; False: silent; or what is told instead.

    Raises:
        ConfigError: a wrong setting, or the id exists and neither ``resume`` nor ``overwrite``.
        DataError: a market or a log that cannot be used, or no room on the disk.
    """
    from offline_trader.datasets import CollectConfig, collect
    from offline_trader.pipeline.collecting import collection_notes, replayed_once
    from offline_trader.pipeline.own_features import feature_notes

    texts = [*expert_texts(experts), *(f"log:{name}" for name in logs)]
    plan = resolved(
        CollectConfig,
        settings,
        dataset_id=dataset,
        env__market=sources_of(market, () if signal_files else signals),
        **observed(features, signals, signal_files, only=features_only, trust=trust_features),
        env__start=day_text(start),
        env__end=day_text(end),
        experts=texts or None,
        transitions=transitions,
        seed=seed,
    )
    if logs and not experts:
        plan = replayed_once(plan)
    told, folder = progress_for(progress), _folder(root)
    for note in collection_notes(plan):
        told.note(note)
    for note in feature_notes(plan.env.features):
        told.note(note)
    with told.task("collecting", plan.transitions) as advance:
        found = collect(plan, advance, root=folder, resume=resume, overwrite=overwrite)
    return Dataset(found, folder)


@in_python
def pretrain(
    dataset: Dataset | str,
    *,
    algorithm: str | None = None,
    stages: Sequence[str] | None = None,
    validate_until: Day | None = None,
    seed: int | None = None,
    seeds: int = 1,
    run: str | Path = "runs/pretrain",
    settings: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
    resume: bool = False,
    workers: Workers | None = None,
    threads: int | None = None,
    device: str | None = None,
    progress: bool | Progress = True,
) -> Trained:
    """Clone the experts of a dataset into an actor, then train it on the dataset.

    Args:
        dataset: what :func:`collect` returned, or an id.
        algorithm: ``cql``, ``sac``, ``cal_ql``, ``iql``, ``awac`` or ``td3_plus_bc``.
        stages: names of the stages in their order, ``("clone", "direct", "offline")`` by default;
            an algorithm's name stands for offline training with it.
        validate_until: choose the policy on the bars from the end of the training range to this
            date; without it the last one is kept.
        seed: of networks, batches and draws.
        seeds: train so many seeds, from ``seed`` on, side by side; the best by validation goes on.
        run: the run directory to write.
        settings: others by dotted key, such as ``{"offline.updates": 5000}``.
        root: folder of the datasets; by default the dataset's own.
        resume: go on with an interrupted run; a finished one is taken as it is.
        workers: seeds at once, by default one a core, or a Ray cluster, as ``"ray"``; with one seed
            those that try the policies of an evolution stage.
        threads: of torch.
        device: ``cpu`` or ``cuda``.
        progress: show a bar; False: silent; or what is told instead.

    Raises:
        ConfigError: a wrong setting, or a run directory that is in use.
        DataError: no such dataset, or one that is damaged.
    """
    from offline_trader.pipeline import PretrainConfig, pretrain, pretrain_seeds
    from offline_trader.pipeline.settings import algorithm_among

    named = algorithm_among(stages or ())
    folder, place, told = _root_of(dataset, root), Path(run), progress_for(progress)
    plan = resolved(
        PretrainConfig,
        settings,
        dataset=dataset.id if isinstance(dataset, Dataset) else dataset,
        learner__algorithm=algorithm or named,
        learner__device=device,
        stages=None if stages is None else list(stages),
        validation__end=day_text(validate_until),
        threads=threads,
        seed=seed,
    )
    if seeds > 1:
        pretrain_seeds(plan, place, seeds, told, root=folder, resume=resume, workers=workers)
    else:
        at_once = 1 if workers is None else workers
        pretrain(plan, place, told, root=folder, resume=resume, workers=at_once)
    return Trained(place, folder)


@in_python
def finetune(
    parent: Trained | str | Path,
    *,
    steps: int | None = None,
    lanes: int | None = None,
    seed: int | None = None,
    run: str | Path = "runs/finetune",
    settings: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
    resume: bool = False,
    unverified: bool = False,
    workers: Workers = 1,
    threads: int | None = None,
    device: str | None = None,
    progress: bool | Progress = True,
) -> Trained:
    """Train a pretrained policy on with SAC in the simulator, offline data in every batch.

    Args:
        parent: what :func:`pretrain` returned, or a run directory. Market, rules, networks,
            dataset and validation range are its own, unless set.
        steps: environment steps, over all lanes.
        lanes: environments side by side.
        seed, run, settings, resume, threads, device, progress: as for :func:`pretrain`.
        root: folder of the datasets; by default the parent's.
        unverified: take a parent of another version, whose manifest states no hash.
        workers: processes, or a Ray cluster, of the agents ``impala``, ``evolution``, ``hybrid``.

    Raises:
        ConfigError: a wrong setting, or a run directory that is in use.
        DataError: a parent that is not finished or damaged.
    """
    from offline_trader.pipeline import FinetuneConfig, chosen_run, finetune
    from offline_trader.pipeline.finetuning import check_steps, parent_settings, steps_told

    told, place, folder = progress_for(progress), Path(run), _root_of(parent, root)
    source = chosen_run(_path_of(parent), told)
    plan = resolved(
        FinetuneConfig,
        settings,
        parent_settings(source),
        **steps_told(steps),
        lanes=lanes,
        learner__device=device,
        threads=threads,
        seed=seed,
    )
    check_steps(plan, steps)
    finetune(
        plan, source, place, told, root=folder, resume=resume, unverified=unverified,
        workers=workers,
    )  # fmt: skip
    return Trained(place, folder)


@in_python
def export_policy(
    policy: Trained | str | Path | object,
    target: str | Path | None = None,
    *,
    market: MarketLike | Sequence[MarketLike] | None = None,
    start: Day | None = None,
    end: Day | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    force: bool = False,
    unverified: bool = False,
    progress: bool | Progress = True,
) -> Model:
    """Write a policy with its scaler as one ONNX file and a manifest, compared with the policy.

    Args:
        policy: what :func:`pretrain` or :func:`finetune` returned, or a run directory; or a policy
            from elsewhere with a graph: a stable-baselines3 or d3rlpy model, a torch module, an
            ONNX or TorchScript file, or ``file.py:function`` that returns one of these.
        target: the ONNX file; by default ``RUN/export/policy.onnx``, of a policy from elsewhere
            ``runs/NAME/export/policy.onnx``.
        market, start, end, seed, settings: what a policy from elsewhere was trained on (a run
            knows it, and so does a model whose environment is ours); on these bars a collapse is
            told, and the file states them.
        force: export a COLLAPSED policy, too; the manifest says so.
        unverified: take a run of another version, or a file of another program.
        progress: say which of several seeds is taken, and evaluate what is refused; False: silent.

    Raises:
        GateFailed: the policy has collapsed, or the file differs from it. Of a run there is then a
            report in the folder ``refused`` beside ``target``.
        SchemaMismatch: a policy of other observations than the market's.
        DataError: a run that is not finished, or a damaged file.
        ConfigError: no graph, no market, or a place that belongs to something else.
    """
    from offline_trader.pipeline import chosen_run, export_run, foreign_policy
    from offline_trader.policies import adapt

    if isinstance(policy, Trained):
        policy = policy.path
    named = isinstance(policy, str | Path)
    foreign = foreign_policy(str(policy), unverified=unverified) if named else adapt(policy)
    if foreign is not None:
        about = {
            "env__market": sources_of(market),
            "env__start": day_text(start),
            "env__end": day_text(end),
            "seed": seed,
        }
        return _adopted(foreign, target, settings, about, force=force)
    if market is not None or start is not None or end is not None or settings or seed is not None:
        raise ConfigError(
            f"{policy} with a market, dates, a seed or settings",
            expected="none of them: a run knows what it was trained on",
        )
    shown = progress_for(progress)
    source = chosen_run(Path(str(policy)), shown)
    place = source / "export" / "policy.onnx" if target is None else Path(target)
    refusal = place.parent / "refused"
    exported = export_run(source, place, shown, force=force, unverified=unverified, refusal=refusal)
    return Model(exported)


def _adopted(
    policy: ForeignPolicy,
    target: str | Path | None,
    settings: Mapping[str, Any] | None,
    about: Mapping[str, object],
    *,
    force: bool,
) -> Model:
    """The model of a policy from elsewhere, with what is known ``about`` its training."""
    from offline_trader.config import to_dict
    from offline_trader.pipeline.foreign_export import (
        ForeignExportConfig,
        export_foreign,
        place_of,
        require_market,
    )

    known = {} if policy.env is None else {"env": to_dict(policy.env)}
    config = resolved(ForeignExportConfig, settings, known, **about)
    require_market(policy, config, about["env__market"])
    place = place_of(policy) if target is None else Path(target)
    return Model(export_foreign(policy, config, place, force=force))


def resolved(
    cls: type[T],
    settings: Mapping[str, Any] | None,
    base: Mapping[str, Any] | None = None,
    **options: object,
) -> T:
    """The configuration: defaults, then ``base``, the options that are given, ``settings``.

    Args:
        cls: the step's configuration.
        settings: by dotted key.
        base: what a parent passes on.
        options: by dotted key with ``__`` for the dot; None means not given.

    Raises:
        ConfigError: a setting that is unknown or cannot be.
    """
    given = {key.replace("__", "."): each for key, each in options.items() if each is not None}
    tree = with_settings(with_settings(base or {}, given), settings or {})
    return load_config(cls, base=tree)


def observed(
    features: Rule | Sequence[Rule],
    signals: Sequence[str],
    files: Sequence[str | Path],
    *,
    only: bool,
    trust: bool,
) -> dict[str, Any]:
    """What :func:`resolved` takes of features and signals; code that is named is imported.

    Raises:
        ConfigError: no such file or function, or ``only`` or ``trust`` without any.
    """
    from offline_trader.pipeline.own_features import chosen_features

    return {
        "env__features": chosen_features(_listed(features), signals, only=only, trust=trust),
        "env__signal_files": [str(file) for file in files] or None,
    }


def expert_texts(experts: Sequence[Rule] | None) -> list[str]:
    """The experts as settings name them.

    Raises:
        ConfigError: a function that lies in no file.
    """
    return [each if isinstance(each, str) else _in_a_file(each) for each in _listed(experts or ())]


def _listed(rules: Rule | Sequence[Rule]) -> Sequence[Rule]:
    return [rules] if isinstance(rules, str) or callable(rules) else rules


def _in_a_file(rule: Callable[..., Any]) -> str:
    """``file.py:function``, by which a run finds the rule again."""
    name = getattr(rule, "__qualname__", type(rule).__name__)
    try:
        file = inspect.getsourcefile(rule)
    except TypeError:
        file = None
    if file is None or not Path(file).is_file() or not file.endswith(".py") or "." in name:
        raise ConfigError(
            f"the rule {name} lies in no file",
            expected="a function at the top of a Python file, by which a run finds it again",
            hint="write it to a file (in a notebook: %%writefile my_rules.py) and name it as "
            f"'my_rules.py:{name.rpartition('.')[2]}'",
        )
    return f"{file}:{name}"


def _folder(root: str | Path | None) -> Path | None:
    return None if root is None else Path(root)


def _root_of(source: object, root: str | Path | None) -> Path | None:
    """``root``, or the folder of datasets that ``source`` knows."""
    own = source.root if isinstance(source, Dataset | Trained) else None
    return own if root is None else Path(root)


def _path_of(run: Trained | str | Path) -> Path:
    return run.path if isinstance(run, Trained) else Path(run)
