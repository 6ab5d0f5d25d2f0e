"""Which clips are worst: those that most measures rank low among all that the models made."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean

from metrics.bench.results import BenchResults


def badness(results: BenchResults) -> dict[tuple[str, str], float]:
    """(case key, model variant) to how bad its clip is, in [0, 1]: the mean over measures of its rank from the best.

    Ranks are taken within a subset, since some measures are easier to please in one than in another; clips that no
    measure could read are left out.
    """
    ranks: dict[tuple[str, str], list[float]] = defaultdict(list)
    models = [name for name, variant in results.variants.items() if variant.role == "model"]
    for subset in results.subsets:
        keys = [case.key for case in results.cases if case.category == subset]
        for measure in results.ran:
            scored = {}
            for name in models:
                for key in keys:
                    value = results.variants[name].scores.get(key, {}).get(measure.key)
                    if value is not None:
                        scored[key, name] = measure.goodness(value)
            if len(scored) < 2:
                continue
            for pair, good in scored.items():
                better = sum(other > good for other in scored.values())
                equal = sum(other == good for other in scored.values()) - 1
                ranks[pair].append((better + equal / 2) / (len(scored) - 1))
    return {pair: fmean(values) for pair, values in ranks.items()}
