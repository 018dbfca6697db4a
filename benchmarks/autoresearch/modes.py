"""The searches to compare: ours through proposer, context and trial as in a run, peers as the paper ran them."""

from collections.abc import Iterator
from typing import Any

from agent.edits.edit import Params, Unchanged
from agent.modes import searcher_of
from agent.propose.numeric import NumericProposer
from agent.propose.proposer import Context
from agent.search.feasible import MemoryModel
from agent.search.parameters import Categorical, Float, Int, PowerOfTwo
from agent.search.space import SearchSpace
from agent.trial import Origin, Outcome, Proposal, Status, Trial
from benchmarks.autoresearch.experiment import DEFAULTS, MEMORY, SCRIPT, SPACE
from benchmarks.autoresearch.ledger import Ledger
from benchmarks.autoresearch.surrogate import Result

PENALTY = 100.0  # what the paper told its optimizers for a failure
DERIVED, FEASIBLE = "+derived", "+memory"  # suffixes of a mode


OURS = ("random", "cma-es", "local", "tpe", "tpe-4")
PEERS = {"peer:cma-es": "CmaEsSampler", "peer:tpe": "TPESampler"}  # Optuna's, as the paper used it


def check(mode: str) -> None:
    """Raise ValueError unless `mode` is one that `search` knows."""
    plain = mode.replace(DERIVED, "").replace(FEASIBLE, "")
    if plain not in OURS and mode not in PEERS:
        known = ", ".join([*OURS, *PEERS])
        raise ValueError(f"there is no mode {mode}; there are {known}, ours with {DERIVED} and {FEASIBLE} after it")


def search(mode: str, seed: int, ledger: Ledger) -> None:
    """Run one search until its budget is spent."""
    if mode in PEERS:
        _peer(PEERS[mode], seed, ledger)
        return
    space = SPACE if DERIVED in mode else SPACE.plain()
    searcher = searcher_of(mode.replace(DERIVED, "").replace(FEASIBLE, ""), space, DEFAULTS, seed)
    memory = MemoryModel.from_table(MEMORY, space.names, limit_gb=0.0) if FEASIBLE in mode else None
    _ours(NumericProposer(searcher, memory), space, ledger)


def _ours(proposer: NumericProposer, space: SearchSpace, ledger: Ledger) -> None:
    baseline = Proposal(Origin.BASELINE, "baseline", Unchanged(), params=DEFAULTS)
    incumbent = _finished(0, baseline, ledger.baseline, best=None)
    trials, source = [incumbent], SCRIPT
    while not ledger.spent:
        context = Context(len(trials), source, SCRIPT, incumbent, tuple(trials), space, "")
        proposal = proposer.propose(context)
        if proposal.params is None or proposal.refused is not None:
            break
        trials.append(_finished(len(trials), proposal, ledger.run(proposal.params), incumbent.val_loss))
        if trials[-1].kept:
            incumbent, source = trials[-1], proposal.edit.apply(source)


def _finished(number: int, proposal: Proposal, result: Result, best: float | None) -> Trial:
    if result.val_bpb is None:
        outcome = Outcome(Status.OUT_OF_MEMORY, None)
    else:
        kept = best is None or result.val_bpb < best
        outcome = Outcome(Status.OK, result.val_bpb, kept=kept, peak_vram_gb=result.memory_gb)
    return Trial(number, None, proposal, "").finished(outcome, "")


def _peer(sampler: str, seed: int, ledger: Ledger) -> None:
    """Optuna by itself: values rounded only after they were proposed, failures told as a penalty."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # Optuna 5 changed TPE's defaults; these are 4.8's.
    settings: dict[str, Any] = {"multivariate": False, "constant_liar": False} if sampler == "TPESampler" else {}
    study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed, **settings))
    distributions = dict(_distributions())
    start = optuna.trial.create_trial(params=dict(DEFAULTS), distributions=distributions, value=ledger.baseline.val_bpb)
    study.add_trial(start)
    while not ledger.spent:
        trial = study.ask(distributions)
        result = ledger.run(_rounded(trial.params))
        study.tell(trial, PENALTY if result.val_bpb is None else result.val_bpb)


def _distributions() -> Iterator[tuple[str, Any]]:
    from optuna import distributions

    for parameter in SPACE.parameters:
        match parameter:
            case Categorical(choices=choices):
                yield parameter.name, distributions.CategoricalDistribution(choices)
            case Float(low=low, high=high, log=log):
                yield parameter.name, distributions.FloatDistribution(low, high, log=log)
            case Int(low=low, high=high, log=log) | PowerOfTwo(low=low, high=high, log=log):
                yield parameter.name, distributions.IntDistribution(low, high, log=log)


def _rounded(params: dict[str, Any]) -> Params:
    """Return what the paper's harness ran: the nearest power of two where the script needs one."""
    powers = {parameter.name for parameter in SPACE.parameters if isinstance(parameter, PowerOfTwo)}
    return {name: _nearest_power(value) if name in powers else value for name, value in params.items()}


def _nearest_power(value: int) -> int:
    below = 1 << (value.bit_length() - 1)
    return below if value - below <= 2 * below - value else 2 * below
