"""The banner: one sentence that says what the evaluation supports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from offline_trader.evaluation.judging import Evaluation
from offline_trader.evaluation.report.blocks import Tone

__all__ = ["Banner", "banner"]

CONFIDENT = 0.95
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Banner:
    """What stands at the top of the page.

    Attributes:
        tone: colour.
        headline: the verdict in a few words.
        detail: the reason, with its numbers.
        badges: (text, tone) of collapse verdicts and gates.
        facts: (name, value): data hash, number of trials, range …
    """

    tone: Tone
    headline: str
    detail: str
    badges: tuple[tuple[str, Tone], ...]
    facts: tuple[tuple[str, str], ...]


def banner(evaluation: Evaluation) -> Banner:
    """The first of these that applies: collapsed, inactive (a rule), state-blind, not evaluable, no
    evidence of skill (deflated Sharpe ratio ≤ .95), no better than buy-and-hold (p > .05), evidence
    of skill."""
    tone, headline, detail = _verdict(evaluation)
    return Banner(tone, headline, detail, _badges(evaluation), _facts(evaluation))


def _verdict(evaluation: Evaluation) -> tuple[Tone, str, str]:
    reasons = evaluation.verdict_reasons
    if "COLLAPSED" in reasons:
        return (
            "bad",
            "Collapsed",
            f"Run deterministically the policy does nearly always the same "
            f"({_reason(reasons, 'COLLAPSED')}). Whatever it earned, it did not decide.",
        )
    if "inactive" in reasons:
        return "warn", "Inactive", f"On these bars the rule {_reason(reasons, 'inactive')}."
    if "STATE-BLIND" in reasons:
        return (
            "bad",
            "State-blind",
            "The actions do not depend on the observed state beyond chance "
            f"({_reason(reasons, 'STATE-BLIND')}). Whatever it earned, it did not come from "
            "reading the market.",
        )
    dsr, sharpe = evaluation.statistics.get("dsr"), evaluation.measures.get("sharpe")
    if dsr is None or sharpe is None:
        return (
            "warn",
            "Not evaluable",
            "The Sharpe ratio or its deflation is not defined for this result: too few bars, or "
            "returns that do not vary.",
        )
    trials = f"{evaluation.trials:,} trial{'s' if evaluation.trials != 1 else ''}"
    odds = f"deflated Sharpe ratio {100 * dsr:.1f} % after {trials}"
    if dsr <= CONFIDENT:
        return (
            "warn",
            "No evidence of skill",
            f"A Sharpe ratio of {sharpe:.2f} over {evaluation.n_bars:,} bars is within what luck "
            f"gives ({odds}; 95 % would be needed).".replace("-", "−"),
        )
    p_value = next((c.spa_p_value for c in evaluation.comparators if c.role == "benchmark"), None)
    if p_value is None or p_value > SIGNIFICANT:
        compared = "was not compared" if p_value is None else f"p = {p_value:.2f}"
        return (
            "warn",
            "Profitable, but not shown to beat buy-and-hold",
            f"The result is beyond luck ({odds}), its advantage over buy-and-hold is not "
            f"({compared}; at most .05 would be needed).",
        )
    return (
        "good",
        "Evidence of skill",
        f"Beyond luck ({odds}) and better than buy-and-hold (p = {p_value:.3f}). It is evidence, "
        "not proof: see costs, regimes and windows below.",
    )


def _reason(reasons: Mapping[str, str], verdict: str) -> str:
    return reasons[verdict] or "by the rules of the version that judged it"


def _badges(evaluation: Evaluation) -> tuple[tuple[str, Tone], ...]:
    badges: list[tuple[str, Tone]] = []
    for verdict in evaluation.verdicts:
        badges.append((verdict, "bad" if verdict in ("COLLAPSED", "STATE-BLIND") else "warn"))
    if evaluation.collapse is not None and not evaluation.verdicts:
        badges.append(("not collapsed", "good"))
    if evaluation.gates:
        names = [gate.verdict for gate in evaluation.gates]
        kinds: tuple[tuple[str, str, Tone], ...] = (
            ("fail", "failed", "bad"),
            ("pass", "passed", "good"),
            ("not evaluable", "not evaluable", "warn"),
        )
        for verdict, text, tone in kinds:
            count = names.count(verdict)
            if count:
                badges.append((f"{count} gate{'s' if count > 1 else ''} {text}", tone))
    return tuple(badges)


def _facts(evaluation: Evaluation) -> tuple[tuple[str, str], ...]:
    facts = [
        ("Evaluated", f"{evaluation.name} ({evaluation.kind})"),
        ("Range", f"{evaluation.start[:10]} to {evaluation.end[:10]}, {evaluation.n_bars:,} bars"),
        ("Instruments", ", ".join(row.symbol for row in evaluation.instruments) or "not known"),
        (
            "Trials",
            f"{evaluation.trials:,}"
            + (f" ({evaluation.trials_counted})" if evaluation.trials_counted else ""),
        ),
        ("Data SHA-256", evaluation.data_hash[:16]),
    ]
    if evaluation.fingerprint:
        facts.append(("Model SHA-256", evaluation.fingerprint[:16]))
    rules = evaluation.simulator
    if rules:
        costs = sum(
            float(rules.get(k, 0.0)) for k in ("commission_bps", "half_spread_bps", "slippage_bps")
        )
        text = f"{costs:g} bp a side, {rules.get('action_mode')}, fill at {rules.get('fill')}"
        facts.append(("Costs and mode", text.replace("_", " ")))
    return tuple(facts)
