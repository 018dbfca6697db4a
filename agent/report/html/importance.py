"""Importance of each name of the search space for the loss, by Optuna's PED-ANOVA (Watanabe et al., 2023)."""

import warnings
from collections.abc import Mapping, Sequence

from agent.edits.edit import Params
from agent.modes.prompting.axis_effects import MIN_TRIALS
from agent.search.parameters import Categorical
from agent.search.space import SearchSpace

TOP_SHARE = 0.25
"""Share of trials that counts as good; Optuna's default of 0.1 would be four trials of a night's 40."""


def importances(space: SearchSpace, scored: Sequence[tuple[Params, float]]) -> Mapping[str, float]:
    """Return each name's share of the importance, summing to 1, the largest first; empty below `MIN_TRIALS`.

    A name that had one value in all trials has no importance and is left out.

    A name is important if good trials are distributed differently along it than others. Values are encoded as in the
    search (log scales, levels), so importances do not depend on units.

    Args:
        space: the searched names.
        scored: parameters and loss (minimised) of the trials that have one.
    """
    known = [(params, loss) for params, loss in scored if set(space.names) <= set(params)]
    plain = {p.name: p for p in space.parameters if len({params[p.name] for params, _ in known}) > 1}
    if len(known) < MIN_TRIALS or not plain:
        return {}
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(p.choices) if isinstance(p, Categorical) else FloatDistribution(0.0, 1.0)
        for name, p in plain.items()
    }
    study = optuna.create_study(direction="minimize")
    for params, loss in known:
        places = {
            name: params[name] if isinstance(p, Categorical) else min(max(p.encode(params[name])[0], 0.0), 1.0)
            for name, p in plain.items()
        }
        study.add_trial(optuna.trial.create_trial(params=places, distributions=distributions, value=loss))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna warns that it is experimental
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=TOP_SHARE)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator, normalize=True)
    return dict(sorted(found.items(), key=lambda item: -item[1]))
