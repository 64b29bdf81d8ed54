"""A policy's positions, scaled down until a limit on the drawdown holds.

A drawdown is about proportional to the size of the positions, and so is the growth: of a policy
that was trained without a limit, the share c of its positions at which the limit just holds keeps
about the share c of its growth. c is looked for on the log: the windows beyond the limit may be
a share of all that is so far below ``tail`` that the limit holds on others, too
(:func:`~offline_trader.learning.stages.direct.limits.allowed_share`).

The actor keeps its shape: it is fitted to c times the actions of the policy that it was, in the
states that it comes to itself (Ross, Gordon & Bagnell 2011), and what is judged is the fitted one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from offline_trader.learning.agents import Learner
from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.engines import PlainAdam, without_dynamo
from offline_trader.learning.settings import DirectConfig
from offline_trader.learning.stages.direct.limits import allowed_share
from offline_trader.learning.stages.direct.market import DirectMarket
from offline_trader.learning.stages.direct.replaying import Depths
from offline_trader.learning.stages.results import Evaluate, Log, TrainResult
from offline_trader.learning.stages.selection import Judged, Selected, Selection

__all__ = ["Scaled", "ScaledPolicy", "ScaledSelection"]

_ROUNDS = 12
_CLOSE, _APART = 0.01, 0.2
"""How near the bounds of c may come before the search ends; how far from each, as a share of their
distance, the next is tried."""
_BATCH = 512
_FIRST, _LATER = (800, 0.01), (300, 0.003)
"""Steps and rate of the fit to the first share, and of those that go on from it."""
_BEFORE_SQUASH, _WITHIN = 0.01, 0.995
"""Weight of the error before the squash, of actions within that bound: it has a slope where the
tanh has none, and is least where the error of the actions is."""
_REACH = 3.0
"""Root mean square before the squash that a fit begins with: further out a tanh has no slope."""
_MOST_ROWS = 65_536


@dataclass(frozen=True)
class Scaled:
    """What a search came to.

    Attributes:
        share: c, of the positions; 1: they were within the limit as they were.
        beyond: share of the log's windows beyond the limit.
        kept: whether so many may be.
    """

    share: float
    beyond: float
    kept: bool


class ScaledPolicy:
    """Scales a learner's positions; see the module.

    Args:
        learner: whose actor it is, in place.
        market: log and dynamics that it sees, on its device.
        config: limit, tail, length of a window and engine.
        seed: of the fits' batches.
    """

    def __init__(
        self, learner: Learner, market: DirectMarket, config: DirectConfig, seed: int
    ) -> None:
        self._learner, self._market = learner, market
        self._depths = Depths(learner, market, config)
        self._limit = -math.log1p(-config.drawdown_limit)
        self._allowed = allowed_share(config.tail, self._depths.apart)
        self._first = True
        self._generator = torch.Generator().manual_seed(seed)

    def judged(self, share: float = 1.0) -> tuple[Scaled, float]:
        """The present actor, which is to be of ``share``, and the depth that the allowed share of
        the windows exceeds."""
        depths = self._depths()
        beyond = float((depths > self._limit).double().mean())
        rank = min(len(depths) - 1, math.floor(self._allowed * len(depths)))
        depth = float(torch.topk(depths, rank + 1).values[-1])
        return Scaled(share, beyond, beyond <= self._allowed), depth

    def search(self) -> Scaled:
        """Make the actor that of the largest share within the limit that was found; of the
        last that was tried if none was."""
        actor = self._learner.actor
        teacher = copy.deepcopy(actor)
        best: tuple[Scaled, dict[str, Tensor]] | None = None
        found, depth = self.judged()
        low, high = (1.0, 1.0) if found.kept else (0.0, 1.0)
        for _ in range(_ROUNDS):
            if high - low < _CLOSE:
                break
            # no depth: orders so small that rules drop them
            wanted = found.share * self._limit / depth if depth > 0.0 else high
            share = _next(wanted, low, high)
            self._fit(teacher, share)
            found, depth = self.judged(share)
            if found.kept:
                low, best = share, (found, copy.deepcopy(actor.state_dict()))
            else:
                high = share
        if best is None:
            return found
        actor.load_state_dict(best[1])
        return best[0]

    def _fit(self, teacher: torch.nn.Module, share: float) -> None:
        """The actor to ``share`` of the teacher's, on the states that it comes to now."""
        seen, own = self._states()
        actor = self._learner.actor
        with torch.no_grad():
            taught = _d3rlpy.deterministic_actions(teacher, seen)[:, 0]
            wanted = self._market.smaller(taught.double(), own, share).float()
            reach = float(actor(seen).mu.square().mean().sqrt())
        steps, rate = _FIRST if self._first else _LATER
        self._first = False
        if reach > _REACH:
            _transfer.scale_means(self._learner.algo, _REACH / reach)
        inner = torch.atanh(wanted.clamp(-_WITHIN, _WITHIN))
        with without_dynamo():
            optimizer = PlainAdam(list(actor.parameters()), lr=rate, fused=True)
        for step in range(1, steps + 1):
            rows = torch.randint(len(seen), (_BATCH,), generator=self._generator).to(seen.device)
            with without_dynamo():
                optimizer.zero_grad(set_to_none=True)
            mu = actor(seen[rows]).mu[:, 0]
            error = (torch.tanh(mu) - wanted[rows]).square().mean()
            error = error + _BEFORE_SQUASH * (mu - inner[rows]).square().mean()
            error.backward()
            for group in optimizer.param_groups:  # up for a tenth of the steps, then down
                group["lr"] = rate * min(10.0 * step / steps, (1.0 - step / steps) / 0.9)
            optimizer.step()

    def _states(self) -> tuple[Tensor, Tensor]:
        """[n, O] scaled observations, and the portfolio's raw part [n, P] of them."""
        features, owns = [], []
        with torch.no_grad():
            for batch in self._depths.replay.batches():
                done = self._depths.unroll(batch)
                first = torch.stack(batch.state, dim=1)[None]
                states = torch.cat([first, done.states[:-1]]).reshape(-1, first.shape[-1])
                owns.append(self._market.observe(tuple(states.T)))
                features.append(self._market.log.features[batch.rows.reshape(-1).cpu().numpy()])
        own, market = torch.cat(owns), np.concatenate(features)
        every = max(1, len(own) // _MOST_ROWS)
        own, market = own[::every], market[::every]
        raw = np.concatenate([market, own.cpu().numpy()], axis=1).astype(np.float32)
        return torch.from_numpy(self._learner.preprocessing.observations(raw)).to(own.device), own


def _next(wanted: float, low: float, high: float) -> float:
    """The share that is in proportion to the depth, moved well between the bounds."""
    apart = _APART * (high - low)
    return min(max(wanted, low + apart), high - apart)


class Trained(Selected, Protocol):
    """A training whose policy is scaled.

    Attributes:
        whole: the learner that is kept, and the market that it sees.
        seen: that whose parameters are trained, and its market.
    """

    whole: tuple[Learner, DirectMarket]
    seen: tuple[Learner, DirectMarket]

    def settle(self) -> None:
        """Make all that depends on the trained weights follow them."""
        ...


class ScaledSelection:
    """Ranks policies without the limit; at the end the best is scaled, and kept if it is within
    the limit then and no worse than a warm start that is. Otherwise the warm start is kept.

    Args:
        training: whose states are considered.
        config: of the limit.
        evaluate: validates a policy; None: the last one is scaled.
        log: gets (step, measures).
        seed: of the fit.
    """

    def __init__(
        self,
        training: Trained,
        config: DirectConfig,
        evaluate: Evaluate | None,
        log: Log | None,
        seed: int,
    ) -> None:
        self._training, self._config, self._seed, self._log = training, config, seed, log
        self._within = True
        self._free = Selection(evaluate, log, preferred=True)
        self._kept = Selection(evaluate, None, preferred=True, allowed=lambda: self._within)

    def consider(self, step: int, agent: Selected) -> Judged:
        """See :class:`~offline_trader.learning.stages.selection.Selection`."""
        if step == 0:
            self._within = self._begun().kept
            self._kept.consider(0, agent)
        return self._free.consider(step, agent)

    def finish(self, step: int, updates: int, agent: Selected) -> TrainResult:
        """Scale, put the kept policy back into the agent and say which it is, and why."""
        if updates == 0:
            return self._kept.finish(0, 0, agent)
        step = self._free.put_back_trained(agent) or step
        found = ScaledPolicy(*self._training.seen, self._config, self._seed).search()
        self._training.settle()
        self._within = found.kept
        if self._log is not None:
            self._log(updates, {"direct/share": found.share, "direct/beyond": found.beyond})
        self._kept.consider(step, agent)
        result = self._kept.finish(step, updates, agent)
        begun = self._begun() if result.kept == "warm_start" else None
        return replace(result, told=(*result.told, _told(found, begun, self._config)))

    def _begun(self) -> Scaled:
        """How the warm start, which the learner holds, stands to the limit."""
        found, _ = ScaledPolicy(*self._training.whole, self._config, self._seed).judged()
        return found

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far."""
        return {"free": self._free.state_dict(), "kept": self._kept.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._free.load_state_dict(state["free"])
        self._kept.load_state_dict(state["kept"])


def _told(found: Scaled, begun: Scaled | None, config: DirectConfig) -> str:
    """What the search came to; ``begun``: of the warm start, where that is kept."""
    limit = f"the drawdown limit of {config.drawdown_limit:.3g}"
    beyond = f"on the log {found.beyond:.1%} of the windows are beyond it"
    if begun is None:
        return f"positions scaled to {found.share:.1%} for {limit}; {beyond}"
    tried = f"the policy with its positions scaled to {found.share:.1%} for {limit} was not kept"
    if not found.kept:
        tried = (
            f"no share of the positions that was tried keeps {limit} (the last: {found.share:.1%})"
        )
    stays = f"{begun.beyond:.1%} under the policy that the stage began with, which stays"
    return f"{tried}; {beyond}, {stays}"
