"""The pool: slices that share nothing, ends that are drawn once, and a task that stays the one that it was."""

import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from agent.edits.edit import Unchanged
from agent.errors import AgentError, MissingRequirementError, TaskError
from agent.store import run_config
from agent.store.journal import Journal
from agent.store.paths import RunsFolder
from agent.store.stored_run import measured_sigma
from agent.task.corpus import Corpus
from agent.task.host_commands.prepared import made_once
from agent.task.task import Task
from agent.task.unseen.pool import Pool, Slice, bands, find_pool, pool_key
from agent.task.unseen.pool_making import GAP, MOST, Documents, draw_slices, prepare_pool
from agent.trials.events import TrialFinished, TrialStarted
from agent.trials.trial import Outcome, Proposal, Status
from tests.agent.task.test_task import BIGRAM, line_of, rewrite
from tests.kill_anywhere.killed_runs import Zygote

POOL = """
# Text of the same words that no job sees.
pool = ["python", "pool.py", "--out", "{out}", "--data", "{data}"]
pool_files = ["pool.py"]
slice_sequences = 100
pool_rounds = 4
"""
LENGTH, N_SEQUENCES, N_ROUNDS = 7, 30, 3  # of the pools that are drawn here, without a command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The task of tests/tasks/bigram_plain, with its pool."""
    return Path(shutil.copytree(BIGRAM, tmp_path / "task", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def bare(folder: Path) -> Path:
    """The same task from before it had a pool."""
    rewrite(folder, POOL, "")
    (folder / "pool.py").rename(folder.parent / "pool.py")
    return folder


def add_pool(bare: Path) -> None:
    rewrite(bare, '"{out}"]\n', '"{out}"]\n' + POOL)
    (bare.parent / "pool.py").rename(bare / "pool.py")


@pytest.fixture(scope="session")
def pool(bigram: Task, corpus: Corpus, cache: Path) -> Pool:
    return prepare_pool(bigram, cache)


@pytest.fixture
def own_cache(corpus: Corpus, tmp_path: Path) -> Path:
    """A cache that holds the data of the task, and no pool."""
    shutil.copytree(corpus.folder, tmp_path / "cache" / corpus.folder.name)
    return tmp_path / "cache"


def texts(generator: np.random.Generator, lengths: list[int], *, copied: float = 0.0) -> Documents:
    """Documents of which every token is another one."""
    n = sum(lengths)
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Documents(np.arange(n, dtype=np.uint16), bounds, generator.random(n) < copied)


# ------------------------------------------------------------------------------------------------------------- slices


def test_slices_share_no_document_and_no_token_and_keep_away_from_what_was_copied() -> None:
    for seed in range(5):
        chance = np.random.default_rng(seed)
        documents = texts(chance, list(chance.integers(0, 400, 100)), copied=0.02)
        slices = draw_slices(documents, LENGTH, N_SEQUENCES, N_ROUNDS, chance)
        assert len(slices) > 3
        seen: set[int] = set()
        for part in slices:
            assert part.sequences.shape == (N_SEQUENCES, LENGTH + 1)
            assert part.ends.shape == (N_SEQUENCES, N_ROUNDS)
            assert not set(part.documents.tolist()) & seen
            seen |= set(part.documents.tolist())
            assert not documents.copied[part.sequences].any()  # a token's number is its place
            starts = part.sequences[:, 0].astype(np.int64)
            assert (np.searchsorted(documents.bounds, starts, side="right") - 1 == part.documents).all()
            assert (starts + LENGTH < documents.bounds[part.documents + 1]).all()
            for name in set(part.documents.tolist()):
                own = np.sort(starts[part.documents == name])
                assert len(own) <= MOST
                assert (np.diff(own) >= GAP * (LENGTH + 1)).all()
            assert (np.diff(part.documents) == 0).mean() < 0.3  # shuffled: not document by document


def test_one_end_in_each_band_and_every_position_is_as_likely_as_the_others() -> None:
    chance = np.random.default_rng(3)
    documents = texts(chance, [400] * 160)
    length, n_rounds = 8, 4
    slices = draw_slices(documents, length, 100, n_rounds, chance)
    ends = np.concatenate([part.ends for part in slices])
    bounds = bands(length, n_rounds)
    assert (ends >= bounds[:-1]).all()
    assert (ends < bounds[1:]).all()
    counts = np.bincount(ends.ravel(), minlength=length)
    expected = len(ends) / 2  # two positions a band
    assert len(ends) == 600
    assert np.abs(counts - expected).max() < 4 * np.sqrt(expected / 2)


def test_a_document_that_is_there_twice_is_used_once() -> None:
    one = np.arange(60, dtype=np.uint16)
    documents = Documents(np.concatenate([one, one, one + 100]), np.array([0, 60, 120, 180]), np.zeros(180, bool))
    (part,) = draw_slices(documents, LENGTH, 4, 2, np.random.default_rng(0))
    assert set(part.documents.tolist()) == {0, 2}


def test_a_round_shows_the_tokens_up_to_its_end_and_nothing_of_its_target(pool: Pool) -> None:
    part = pool.slice(0)
    shown_before = np.zeros(len(part.sequences), np.int64)
    for r in range(part.n_rounds):
        prefixes, ends = part.question(r)
        assert prefixes.shape == (100, ends.max() + 1)
        assert (ends == part.ends[:, r]).all()
        for row, end in enumerate(ends):
            assert (prefixes[row, : end + 1] == part.sequences[row, : end + 1]).all()
            assert not prefixes[row, end + 1 :].any()
            assert part.targets(r)[row] == part.sequences[row, end + 1]
        assert (ends >= shown_before).all()  # what was shown never held the target of this round
        shown_before = ends + 1


def test_a_slice_is_read_back_from_its_bytes(pool: Pool) -> None:
    part = pool.slice(2)
    again = Slice.from_bytes(part.to_bytes())
    assert (again.sequences == part.sequences).all()
    assert (again.documents == part.documents).all()
    assert (again.ends == part.ends).all()
    assert again.digest == part.digest == pool.meta["slices"][2]
    moved = Slice(part.sequences, part.documents, part.ends + np.eye(*part.ends.shape, dtype=np.int64))
    assert moved.digest != part.digest  # ends are part of it


# --------------------------------------------------------------------------------------------------------------- pool


def test_a_pool_is_made_once_for_its_owner_alone(pool: Pool, bigram: Task, cache: Path) -> None:
    assert (pool.n_slices, pool.n_sequences, pool.n_rounds) == (10, 100, 4)
    made = pool.folder.stat().st_mtime_ns
    again = prepare_pool(bigram, cache)
    assert again.folder.stat().st_mtime_ns == made
    found = find_pool(bigram, cache)
    assert found is not None
    assert found.digest == pool.digest
    assert stat.S_IMODE(pool.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in pool.folder.iterdir()} == {0o600}
    made_then = [
        name for name in os.listdir(pool.folder) if not name.startswith("opened.jsonl")
    ]  # by runs of other tests
    assert sorted(made_then) == ["meta.json", *(f"slice-{i:03}.bin" for i in range(10))]
    with pytest.raises(IndexError):
        pool.slice(10)


def test_ends_and_order_are_secret_and_two_pools_differ(pool: Pool, folder: Path, own_cache: Path) -> None:
    assert prepare_pool(Task.load(folder), own_cache).digest != pool.digest


def test_what_was_changed_is_one_line_with_the_remedy(pool: Pool, bigram: Task, own_cache: Path) -> None:
    task, cache = bigram, own_cache
    pool = Pool(Path(shutil.copytree(pool.folder, own_cache / pool.folder.name)))
    path = pool.folder / "slice-004.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    for read in (lambda: find_pool(task, cache), lambda: pool.slice(4)):
        with pytest.raises(TaskError, match=r"slice-004.bin has changed since it was prepared; remove .*-pool-"):
            read()
    path.unlink()
    with pytest.raises(TaskError, match=r"slice-004.bin has changed"):
        find_pool(task, cache)
    (pool.folder / "meta.json").write_bytes(b"\xff{")
    with pytest.raises(TaskError, match=r"meta.json has changed since it was made; remove"):
        find_pool(task, cache)
    (pool.folder / "meta.json").unlink()  # as if it had never been made
    assert find_pool(task, cache) is None
    assert prepare_pool(task, cache).n_slices == 10


def test_a_pool_of_other_data_is_refused(pool: Pool, bigram: Task, own_cache: Path) -> None:
    folder = shutil.copytree(pool.folder, own_cache / pool.folder.name)
    (folder / "meta.json").write_text(json.dumps({**pool.meta, "data": "0000"}))
    with pytest.raises(TaskError, match=r"was made for other data \(digest 0000, now \w+\); remove"):
        find_pool(bigram, own_cache)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("N_DOCUMENTS, N_WORDS = 260", "N_DOCUMENTS, N_WORDS = 20", "80 sequences of 20 documents"),
        ("N_DOCUMENTS, N_WORDS = 260", "N_DOCUMENTS, N_WORDS = 0", "0 sequences of 0 documents"),
        ("chance = ", "raise SystemExit('no more paper')\nchance = ", "failed: no more paper"),
        ("chance = ", "print('hm')\nraise SystemExit\nchance = ", "no documents.bin (hm)"),
        ("map(len, documents)", "[1]", "1 according to lengths.bin"),
        ("[t for w in", "[t + 60 for w in", "the vocabulary has 27"),
    ],
)
def test_a_command_that_gives_no_pool_is_one_line_and_leaves_nothing(
    folder: Path, own_cache: Path, old: str, new: str, expected: str
) -> None:
    rewrite(folder, old, new, "pool.py")
    task = Task.load(folder)
    with pytest.raises(AgentError) as caught:
        prepare_pool(task, own_cache)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert type(caught.value) is (MissingRequirementError if "failed" in str(caught.value) else TaskError)
    assert not [path for path in own_cache.iterdir() if "pool" in path.name and path.is_dir()]
    assert find_pool(task, own_cache) is None


def test_more_rounds_than_positions_are_refused(folder: Path, own_cache: Path) -> None:
    rewrite(folder, "pool_rounds = 4", "pool_rounds = 33")
    with pytest.raises(TaskError, match=r"pool_rounds = 33 exceeds the 32 positions"):
        prepare_pool(Task.load(folder), own_cache)


# --------------------------------------------------------------------------------------------------------------- task


def test_a_task_is_the_same_with_a_pool_and_no_job_sees_anything_of_it(bare: Path) -> None:
    before = Task.load(bare)
    add_pool(bare)
    after = Task.load(bare)
    assert (after.digest, after.files) == (before.digest, before.files)
    assert after.pool_files == {"pool.py": (BIGRAM / "pool.py").read_bytes()}
    assert pool_key(after) != pool_key(before)
    rewrite(bare, "pool_rounds = 4", "pool_rounds = 8")
    assert pool_key(Task.load(bare)) != pool_key(after)
    rewrite(bare, "Random(8)", "Random(9)", "pool.py")
    assert Task.load(bare).digest == before.digest
    committed = Task(bare, after.files, after.profile, as_is=True)
    assert (committed.digest, committed.data.pool, committed.pool_files) == (before.digest, (), {})


@pytest.mark.slow
def test_a_run_that_began_without_a_pool_goes_on_with_one_and_its_noise_is_known(warm: Zygote, bare: Path) -> None:
    agent = warm.within(bare.parent)
    begin = ["run", "--task", str(bare), "--mode", "random", "--name", "r", "--keep", "any", "--no-prune"]
    assert agent.agent(*begin, "--trials", "1") == 0, agent.said
    task = Task.load(bare)
    noise_run(agent.runs, task)
    add_pool(bare)
    assert agent.agent("resume", "r", "--trials", "2") == 0, agent.said
    assert agent.agent("log", "r", "--verify") == 0, agent.said
    assert measured_sigma(agent.runs, Task.load(bare).digest) == 1.0
    for number in range(2):
        files = agent.runs.run("r").trial(number).files
        assert sorted(path.name for path in files.iterdir()) == ["prepare.py", "score.py", "task.toml", "train.py"]
        assert "pool" not in (files / "task.toml").read_text()


def noise_run(runs: RunsFolder, task: Task) -> None:
    """Write down a run that measured the standard deviation 1 of the task's baseline."""
    paths = runs.run("noise")
    paths.root.mkdir()
    config = run_config.checked(
        run_id="noise", mode="noise", task_folder="x", task_name="x", task_digest=task.digest, keep="baseline"
    )
    run_config.save(paths.run_json, config, {})
    journal = Journal(paths.journal)
    for number, loss in enumerate([1.0, 2.0, 3.0]):
        journal.append(
            TrialStarted(
                number, None, Proposal("baseline", "", Unchanged(), train_seed=number), "2026-11-29T00:00:00+00:00"
            )
        )
        journal.append(TrialFinished(number, Outcome(Status.OK, loss, kept=number == 0), "2026-11-29T00:00:00+00:00"))
    journal.close()


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ("pool_rounds = 4", "pool_rounds = 0", "pool_rounds", "1 or more"),
        ("slice_sequences = 100", "slice_sequences = 7", "slice_sequences", "8 or more"),
        ("slice_sequences = 100", 'slice_sequences = "all"', "slice_sequences", "a whole number"),
        ("pool_rounds = 4", "pool_round = 4", "pool_round", "unknown key"),
        ('pool = ["python"', 'pole = ["python"', "pole", "unknown key"),
        ('pool = ["python", "pool.py", "--out", "{out}", "--data", "{data}"]\n', "", "[data]", "which is missing"),
        ('pool_files = ["pool.py"]', 'pool_files = ["./score.py"]', "pool_files", "every job would see ./score.py"),
        ('pool_files = ["pool.py"]', 'pool_files = "pool.py"', "pool_files", "a list"),
        ('kind = "held_out"', 'kind = "printed"', "pool = [", "a pool needs score.kind = 'held_out'"),
        ('prepare = ["python", "prepare.py", "--out", "{out}"]', "", "pool = [", "and [data] prepare"),
    ],
)
def test_what_is_wrong_about_a_pool_is_named_with_its_line(
    folder: Path, old: str, new: str, where: str, what: str
) -> None:
    rewrite(folder, old, new)
    with pytest.raises(TaskError) as caught:
        Task.load(folder)
    assert what in str(caught.value)
    assert f"task.toml:{line_of(folder, where)}:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pool_within_an_inline_table_is_refused(folder: Path) -> None:
    text = (folder / "task.toml").read_text()
    start, end = text.index("[data]"), text.index("[budget]")
    inline = 'data = { prepare = ["python", "x.py", "{out}"], pool = ["x"] }\n'
    (folder / "task.toml").write_text(inline + text[:start] + text[end:])
    with pytest.raises(TaskError, match=r"task.toml:1: data.pool: write each key of the pool on its own line"):
        Task.load(folder)


def test_a_missing_file_of_the_pool_is_named(folder: Path) -> None:
    (folder / "pool.py").unlink()
    with pytest.raises(TaskError, match=r"pool.py is missing, but task.toml names it"):
        Task.load(folder)


def test_prepare_makes_the_pool_when_it_is_asked_to(warm: Zygote, folder: Path) -> None:
    agent = warm.within(folder.parent)
    assert agent.agent("prepare", "--task", str(folder)) == 0, agent.said
    assert "there is no pool yet; `agent prepare --pool` makes it" in agent.said
    assert agent.agent("prepare", "--pool", "--task", str(folder)) == 0, agent.said
    assert "making the pool (once): python pool.py" in agent.said
    assert "pool of 10 slices of 100 sequences of 250 documents, 4 rounds, in " in agent.said
    assert agent.agent("prepare", "--task", str(folder)) == 0, agent.said
    assert "making" not in agent.said
    assert "pool of 10 slices" in agent.said


def test_an_interrupted_preparation_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "half"

    def interrupted() -> str:
        folder.mkdir()
        (folder / "train.bin").write_bytes(b"half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made_once(folder, "the data", lambda: None, interrupted)
    assert not folder.exists()
