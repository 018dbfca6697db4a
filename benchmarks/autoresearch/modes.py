"""The searches to compare: Autocentaur's as in a run, with proposer, context and trial; peers as in the paper."""

from collections.abc import Iterator
from typing import Any

from agent.edits.edit import Params, Unchanged
from agent.llm.model import Model
from agent.llm.prompt_templates import PromptSet
from agent.modes.centaur.echo import EchoProposer
from agent.modes.centaur.proposer import CentaurProposer
from agent.modes.centaur.share import LLMTurns
from agent.modes.fixed import FixedProposer
from agent.modes.numeric import NumericProposer, host_of
from agent.modes.prompting.trial_digest import Briefing
from agent.modes.proposer import Context, Proposer
from agent.modes.searchers import OPTUNA, build_searcher, host_named
from agent.run.ending import MAX_IDLE_PROPOSALS
from agent.search.cmaes import CMAESearcher
from agent.search.memory_model import MemoryModel
from agent.search.optuna_search import OptunaSearcher
from agent.search.parameters import Categorical, Float, Int, PowerOfTwo
from agent.search.searcher import HintedSearcher, Searcher
from agent.search.space import SearchSpace
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial
from benchmarks.autoresearch.experiment import DEFAULTS, LIMIT_GB, MEMORY, SCRIPT, SPACE
from benchmarks.autoresearch.ledger import Ledger
from benchmarks.autoresearch.published import PublishedCentaur
from benchmarks.autoresearch.surrogate import Result

PENALTY = 100.0  # the loss that the paper's optimizers got for a failure
DERIVED, FEASIBLE, HINTS = "+derived", "+memory", "+hints"  # suffixes of a mode
HINTED: Params = {**DEFAULTS, "TOTAL_BATCH_SIZE": 262144}  # no gradient accumulation

# Optuna 5 searches the names jointly and counts trials in flight as bad; the paper's Optuna 4.8 did neither.
AS_IN_THE_PAPER: dict[str, Any] = {"multivariate": False, "constant_liar": False}
TPE_4 = "tpe-4"  # Autocentaur's TPE with the paper's settings

NUMERIC = ("random", "cma-es", "local", "local-gp", "tpe", TPE_4)
PUBLISHED = "published:centaur"  # as in the paper: CMA-ES, a fixed share, one point, which runs as it is
WITH_MODEL = ("centaur", PUBLISHED, "fixed")
ON_LOCAL_GP = "+on-local-gp"  # suffix of a hybrid mode: its host, instead of CMA-ES
ECHO = "centaur:echo"  # returns the incumbent on the model's trials
PEERS = {"peer:cma-es": "CmaEsSampler", "peer:tpe": "TPESampler"}  # Optuna's, as the paper used it
BRIEFING = Briefing("train.py", "val_bpb", False, (), f"300 s of training, {LIMIT_GB:g} GB of memory on the GPU")


def check(mode: str) -> None:
    """Raise ValueError if `search` has no such mode."""
    is_ours = plain(mode) in (*NUMERIC, *WITH_MODEL, ECHO) or mode.startswith(OPTUNA)
    suffixes = {f"+{suffix}" for suffix in mode.split("+")[1:]}
    if not (is_ours and suffixes <= {DERIVED, FEASIBLE, HINTS, ON_LOCAL_GP}) and mode not in PEERS:
        known = ", ".join([*NUMERIC, f"{OPTUNA}NAME", *WITH_MODEL, ECHO, *PEERS])
        raise ValueError(
            f"there is no mode {mode}; there are {known}, ours with {DERIVED}, {FEASIBLE}, {HINTS} "
            f"and, for hybrids, {ON_LOCAL_GP} after it"
        )


def plain(mode: str) -> str:
    """Return the mode without its suffixes."""
    return mode.partition("+")[0]


def search(
    mode: str, seed: int, ledger: Ledger, model: Model | None = None, turns: LLMTurns | None = None
) -> list[Trial]:
    """Run one search until its budget is spent; return its trials (empty for a peer).

    `model` and `turns` are for the modes that ask a model.
    """
    if mode in PEERS:
        _peer(PEERS[mode], seed, ledger)
        return []
    space = SPACE if DERIVED in mode else SPACE.plain()
    return follow(_proposer(mode, seed, space, model, turns or LLMTurns(seed)), space, ledger)


def _proposer(mode: str, seed: int, space: SearchSpace, model: Model | None, turns: LLMTurns) -> Proposer:
    def memory() -> MemoryModel | None:
        return MemoryModel.from_table(MEMORY, space.names, limit_gb=0.0) if FEASIBLE in mode else None

    def host(searcher: Searcher) -> NumericProposer:
        return NumericProposer(HintedSearcher(searcher, HINTED) if HINTS in mode else searcher, memory())

    start = HINTED if HINTS in mode else DEFAULTS
    name = plain(mode)
    if name in WITH_MODEL and model is None:
        raise ValueError(f"mode {mode} needs a model: --base-url, or --embedded")
    if name == "fixed":
        return FixedProposer(lambda _: _given(model), PromptSet.load("fixed"), BRIEFING, memory)
    if name not in ("centaur", ECHO, PUBLISHED):
        as_then = name == TPE_4
        return host(
            OptunaSearcher(space, seed, **AS_IN_THE_PAPER) if as_then else build_searcher(name, space, start, seed)
        )
    if name == PUBLISHED:
        cma = CMAESearcher(space, start, seed)
        return PublishedCentaur(host(cma), cma.state, lambda _: _given(model), BRIEFING, turns=turns)
    host_name = "local-gp" if ON_LOCAL_GP in mode else "cma-es"
    searcher = build_searcher(host_name, space, start, seed)
    if name == ECHO:
        return EchoProposer(host(searcher), turns)
    title = host_named(host_name).host_title or ""
    around = host_of(title, searcher, host(searcher))
    return CentaurProposer(around, lambda _: _given(model), PromptSet.load("centaur"), BRIEFING, turns=turns)


def _given(model: Model | None) -> Model:
    assert model is not None, "checked when the proposer was made"
    return model


def follow(proposer: Proposer, space: SearchSpace, ledger: Ledger) -> list[Trial]:
    """Return the trials of a search; a proposal that does not run costs nothing, as in `agent run`."""
    baseline = Proposal(Origin.BASELINE, "baseline", Unchanged(), params=DEFAULTS)
    incumbent = _finished(0, baseline, ledger.baseline, best=None)
    trials, source, n_idle = [incumbent], SCRIPT, 0
    while not ledger.spent and n_idle < MAX_IDLE_PROPOSALS:
        hours_left = (ledger.budget_seconds - ledger.seconds) / 3600
        context = Context(
            len(trials), source, SCRIPT, incumbent, tuple(trials), space, f"{hours_left:.1f} h of training"
        )
        proposal = proposer.propose(context)
        if proposal.refused is not None or proposal.params is None:
            refusal = Outcome(proposal.refused or Status.NO_PROPOSAL, None, reason=proposal.reason)
            trials.append(Trial(len(trials), None, proposal, "").finished(refusal, ""))
            n_idle += 1
            continue
        trials.append(_finished(len(trials), proposal, ledger.run(proposal.params), incumbent.val_loss))
        n_idle = 0
        if trials[-1].kept:
            incumbent, source = trials[-1], proposal.edit.apply(source)
    return trials


def _finished(number: int, proposal: Proposal, result: Result, best: float | None) -> Trial:
    if result.val_bpb is None:
        outcome = Outcome(Status.OUT_OF_MEMORY, None)
    else:
        kept = best is None or result.val_bpb < best
        outcome = Outcome(Status.OK, result.val_bpb, kept=kept, peak_vram_gb=result.memory_gb)
    return Trial(number, None, proposal, "").finished(outcome, "")


def _peer(sampler: str, seed: int, ledger: Ledger) -> None:
    """Run Optuna alone, as in the paper: values are rounded after the proposal, failures get a penalty."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    settings = AS_IN_THE_PAPER if sampler == "TPESampler" else {}
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
    """Return the configuration that the paper's harness ran, with powers of two where the script needs them."""
    powers = {parameter.name for parameter in SPACE.parameters if isinstance(parameter, PowerOfTwo)}
    return {name: _nearest_power(value) if name in powers else value for name, value in params.items()}


def _nearest_power(value: int) -> int:
    below = 1 << (value.bit_length() - 1)
    return below if value - below <= 2 * below - value else 2 * below
