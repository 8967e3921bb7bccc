"""The charts of a comparison: who is behind by how much, what tuning buys, how often each is among the quickest."""

import math
from collections.abc import Sequence

from stepwell.lab.comparisons.comparison import Comparison
from stepwell.lab.comparisons.contest import Contest
from stepwell.lab.names import count
from stepwell.lab.statistics import differences
from stepwell.pages.contests import PROFILES
from stepwell.pages.html import gaps, losses, traces
from stepwell.pages.html.axes import TICKS, axis, layout, plain, scale
from stepwell.pages.html.blocks import Chart
from stepwell.pages.html.colours import keys


def behind(contest: Contest) -> Chart | None:
    """How much more each optimizer's loss is than the leader's, with intervals, seeds and the noise floor."""
    judgement = contest.judgement
    if judgement is None:
        return None
    first = judgement.standings[0].optimizer
    rows = [gaps.Behind(first, False)]
    for each in judgement.standings[1:]:
        assert each.against is not None
        seeds = differences(judgement.losses[each.optimizer], judgement.losses[first]).tolist()
        ends = each.against.estimate, each.against.low, each.against.high
        rows.append(gaps.Behind(each.optimizer, each.verdict == "tie", *ends, seeds))
    return gaps.chart(rows, losses.name(contest.results, long=False), judgement.each, judgement.noise)


def tuning(contest: Contest) -> Chart | None:
    """The best loss against the number of settings tried: the median search, and half of all searches as a band."""
    lowest, data, ends = contest.results.task["lowest"], [], []
    for name, luck in contest.luck.items():
        low, middle, high = ([losses.seen(x - lowest) for x in way] for way in (luck.low, luck.median, luck.high))
        words = [
            f"<b>{plain(name)}</b>, {count(k, 'setting')} tried<br>{_text(x)}"
            for k, x in zip(luck.trials, middle, strict=True)
        ]
        data += [traces.band(luck.trials, low, high, name), traces.line(luck.trials, middle, name, text=words)]
        ends.append(f"{name}: {_text(middle[0])} with one setting, {_text(middle[-1])} with {luck.trials[-1]}")
    shown = [x for trace in data for x in trace["y"]]
    if not any(x is not None for x in shown):
        return None
    most = max(max(luck.trials) for luck in contest.luck.values())
    x = scale("settings tried, picked blindly from all", [1, most], False, 0.02)
    x |= {"tick0": 1, "dtick": math.ceil(most / TICKS)}
    seeds = count(len(contest.results.settings["seeds"]), "tuning seed")
    about = f"The best loss of the median search; the band holds the middle half of searches. {seeds} each."
    frame = layout(x, scale(f"best {losses.name(contest.results)}", shown))
    return Chart("What tuning gives", about, "; ".join(ends) + ".", data, frame, legend=keys(list(contest.luck)))


def profiles(comparison: Comparison) -> list[Chart]:
    """The share of tasks on which each optimizer reaches the target within a factor of the quickest one's cost."""
    made = []
    for what, found in comparison.profiles.items():
        end = max(2.0, 1.15 * float(found.factors[-1]))
        data, words = [], []
        for name, shares in zip(comparison.optimizers, found.shares.tolist(), strict=True):
            at = [*found.factors.tolist(), end]
            texts = [
                f"<b>{plain(name)}</b><br>{100 * y:.0f} % within {x:.3g} times"
                for x, y in zip(at, [*shares, shares[-1]], strict=True)
            ]
            way = {**traces.stroke(name), "width": 2.5, "shape": "hv"}
            data.append(traces.line(at, [*shares, shares[-1]], name, line=way, text=texts))
            words.append(f"{name}: quickest on {100 * shares[0]:.0f} %, in the end {100 * shares[-1]:.0f} %")
        ticks = _doubled(end)
        x = axis("within this factor of the quickest", type="log", range=[0, math.log10(end)],
                 tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])  # fmt: skip
        y = axis("share of tasks", range=[-0.02, 1.05], tickformat=".0%")
        title = PROFILES[what][0].upper() + PROFILES[what][1:]
        made.append(Chart(title, "", "; ".join(words) + ".", data, layout(x, y), legend=keys(comparison.optimizers)))
    return made


def _doubled(end: float) -> Sequence[float]:
    ticks = [2.0**k for k in range(int(math.log2(end)) + 1)]
    return ticks[:: max(1, len(ticks) // 6)]


def _text(x: float | None) -> str:
    return "diverged" if x is None else f"{x:.4g}"
