"""Runs of hostile scripts whose jobs hide nothing from each other, and what their models are really worth."""

import textwrap
import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from agent.edits.edit import WholeFile
from agent.execution.executor import Executor
from agent.execution.scoring.audited import AuditedScorer
from agent.execution.scoring.scorer import Artifact, Scorer
from agent.execution.slices.lead import lead_of
from agent.execution.slices.source import Contender
from agent.execution.slices.text_slices import TextAnswers, TextSlices
from agent.execution.training_job import export, training_job
from agent.modes.proposer import Context
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.run.policy import Policy
from agent.run.records import Records
from agent.store.git_repo import TrialRepo
from agent.store.journal import Journal, read_history
from agent.store.paths import RunsFolder, TrialPaths
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.task.unseen.pool import Pool
from agent.trials.budget import Budget
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.keeping.noise import Lead
from agent.trials.trial import KeepState, Origin, Proposal, Score
from sandbox.job import Sandbox
from tests.attacks.leaks.leaking_sandbox import LeakingSandbox
from tests.conftest import SilentObserver
from tests.made_pools import make_pool

CASES = Path(__file__).parent / "cases"
SIGMA = 0.016  # of the honest script and of its MIX = 0.9, in bits per byte: 12 seeds each, .013 and .020
SLICE_ROUNDS = 4
FRESH_SEQUENCES, FRESH_ROUNDS = 4000, 8


@dataclass(frozen=True)
class Step:
    """One trial of a run: a case on top of the honest script, and what its standing loss is forged to."""

    case: str
    lead: float  # over the baseline on the standing split, bits per byte; not used where that is scored honestly
    constants: Mapping[str, object] = field(default_factory=dict)


class InTurn:
    """Proposes whole scripts in the order in which they were given."""

    def __init__(self, scripts: Sequence[str]) -> None:
        self._scripts = scripts

    def propose(self, context: Context) -> Proposal:
        return Proposal(Origin.LLM, f"script {context.number}", WholeFile(self._scripts[context.number - 1]))


class Forged:
    """Believes a script whatever lead it wants on the standing split; the baseline is scored honestly."""

    def __init__(self, inner: Scorer, leads: Sequence[float], noise: float) -> None:
        self._inner = inner
        self._leads = leads
        self._noise = noise
        self._baseline: float | None = None

    def score(self, artifact: Artifact) -> Score:
        if artifact.trial == 0:
            found = self._inner.score(artifact)
            self._baseline = found.val_loss if self._baseline is None else self._baseline
            return found
        assert self._baseline is not None
        noise = np.random.default_rng(zlib.crc32(artifact.label.encode())).normal(0, self._noise)
        return Score(self._baseline - self._leads[artifact.trial - 1] + float(noise), "audited")


def script(task: Task, step: Step, draw: int) -> str:
    """Return the honest script with a case in it; scripts of two draws differ in nothing but their chance."""
    honest, main, tail = task.source.partition('\nif __name__ == "__main__":')
    honest = honest.replace('array("H", file.read())', 'read(array("H", file.read()))')
    honest = honest.replace('int(os.environ["TRAIN_SEED"])', 'int(os.environ["TRAIN_SEED"]) + 1000 * TRY')
    leaked = (CASES / "leaked.py").read_text().replace("TRY = 0", f"TRY = {draw}")
    constants = "".join(f"{name} = {value!r}\n" for name, value in step.constants.items())
    return f"{honest}\n{leaked}\n{(CASES / f'{step.case}.py').read_text()}\n{constants}{main}{tail}"


@dataclass(frozen=True)
class Gain:
    """A gain that a run has confirmed, and what the two models are worth on text that no job of the run has seen."""

    trial: int
    champion: int
    true: Lead


@dataclass(frozen=True)
class Came:
    """What came of a run."""

    standings: list[str]  # of the trials behind the baseline
    kept: int  # of them: moved the incumbent
    confirmed: list[Gain]
    n_slices: int  # opened
    flags: tuple[str, ...]
    burned: list[str]  # which model had no answer, a slice each
    reasons: list[str]  # of the verdicts that were not decided by a lead

    @property
    def false(self) -> list[Gain]:
        """The confirmed gains that are none, as far as the text and the training seeds of two models can tell."""
        return [gain for gain in self.confirmed if gain.true.mean <= 2 * gain.true.error]


@dataclass(frozen=True)
class Bench:
    """What runs are made with."""

    task: Task
    corpus: Corpus
    sandbox: Sandbox  # the ordinary one
    fresh: Pool  # one slice that no job of a run sees


def run_leaking(
    bench: Bench,
    steps: Sequence[Step],
    folder: Path,
    seed: int,
    *,
    forged: bool = True,
    noise: float = SIGMA / 4,
    leaks: bool = True,
) -> Came:
    """Run all steps with real keeper, rounds and pool, and measure what was confirmed.

    Args:
        folder: for this alone.
        seed: of the scripts' chance and of the pool.
        forged: whether scripts say themselves what they come to on the standing split; else it is audited.
        noise: standard deviation of forged losses over training seeds, bits per byte.
        leaks: whether jobs see what others saw.
    """
    folder.mkdir()
    task, corpus = bench.task, bench.corpus
    box: Sandbox = LeakingSandbox(bench.sandbox, folder / "leaked") if leaks else bench.sandbox
    pool = make_pool(corpus, folder / "pool", seed, n_slices=2 * len(steps) + 3, n_rounds=SLICE_ROUNDS)
    runs = RunsFolder(folder / "runs")
    runs.prepare()
    paths = runs.run("r")
    paths.root.mkdir()
    scripts = [script(task, step, 100 * seed + n + 1) for n, step in enumerate(steps)]
    scorer: Scorer = AuditedScorer(task, corpus, box)
    if forged:
        scorer = Forged(scorer, [step.lead for step in steps], noise)
    slices = TextSlices(task, corpus, pool, box)
    rule = KeepRule(lead=4.0, n_slices=pool.n_slices, paired=True, sigma=SIGMA)
    with closing(Journal(paths.journal)) as journal:
        run = Run(
            records=Records("r", "test", None, task, paths, journal, read_history(paths.journal), TrialRepo(runs.repo)),
            executor=Executor(task, corpus, box, scorer, {}, paths.compiled, {}, slices=slices),
            policy=Policy(rule, Budget(trials=len(steps) + 1)),
            observer=SilentObserver(),
            proposer=InTurn(scripts),
            space=None,
        )
        run_trials(run)
    return _came(bench, run, folder)


def _came(bench: Bench, run: Run, folder: Path) -> Came:
    gains, champion = [], 0
    for repeat in run.history.repeats:
        if repeat.verdict is not None and repeat.verdict.standing is KeepState.CONFIRMED:
            gains.append(Gain(repeat.trial, champion, _true_lead(bench, run, repeat.trial, champion, folder)))
            champion = repeat.trial
    scores = [use.score for use in run.history.slices if use.score is not None]
    return Came(
        [str(trial.standing) for trial in run.history.trials[1:]],
        sum(trial.kept for trial in run.history.trials[1:]),
        gains,
        len(run.history.slices),
        tuple(flag for score in scores for flag in (*score.flags, *([score.gap] if score.gap else []))),
        [score.burned_by for score in scores if score.burned_by],
        [repeat.verdict.reason for repeat in run.history.repeats if repeat.verdict and repeat.verdict.reason],
    )


def _true_lead(bench: Bench, run: Run, trial: int, champion: int, folder: Path) -> Lead:
    """Return the lead of a trial's two models of the run over the champion's, on text that no job of the run saw.

    They answer in the ordinary sandbox, in which they see nothing of others. The noise of training seeds is in the
    error. Where a model is gone, as those of a former champion are, the script is trained again, without leaks.
    """
    models: dict[str, list[Contender]] = {}
    for name, number in (("better", trial), ("worse", champion)):
        paths = run.paths.trial(number)
        for seed in (0, 1):
            own = paths if seed == 0 else paths.repeat(seed)
            if not own.artifact.is_file():
                own = TrialPaths(folder / f"again-{number}-{seed}")
                _train(bench, run.records.sources[number], own, seed)
            models.setdefault(name, []).append(Contender(f"{name}-{seed}", own.artifact, own.files))
    slices = TextSlices(bench.task, bench.corpus, bench.fresh, bench.sandbox)
    asked = [*models["better"], *models["worse"]]
    answers = slices.ask(0, asked, None, folder=folder / f"true-{trial}", label=f"true-{trial}")
    assert isinstance(answers, TextAnswers), answers
    better, worse = (np.mean([answers.nats[model.name] for model in models[name]], axis=0) for name in models)
    lead = lead_of(answers.opened, better, worse, answers.token_bytes)
    return replace(lead, error=float(np.hypot(lead.error, SIGMA * np.sqrt(1 / 2 + 1 / 2))))


def _train(bench: Bench, source: str, paths: TrialPaths, seed: int) -> None:
    paths.root.mkdir(exist_ok=True)
    export({**bench.task.files, bench.task.script: source.encode()}, paths.files)
    job = training_job(
        bench.task, bench.corpus, paths, label=f"again/{seed}", train_seed=seed, baseline_cpu_seconds=None, passed_on={}
    )
    assert bench.sandbox.run(job).exit_code == 0, textwrap.shorten(paths.log.read_text(), 500)
