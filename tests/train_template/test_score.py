"""score.py: what it claims and what an audit finds are the loss of the model that was saved."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from agent.execution.scoring.audit import nats
from agent.execution.slices.rounds import payload
from tests.late import Late
from tests.train_template.conftest import SEQ_LEN, TEMPLATE, VOCAB, job_environment

torch = Late("torch")
N_SEQUENCES = 150  # more than one batch


@pytest.fixture
def task(tmp_path: Path, train: ModuleType) -> Path:
    """/task as a scoring job sees it, with an untrained model's artifact beside it."""
    for name in ("train.py", "score.py"):
        shutil.copy(TEMPLATE / name, tmp_path)
    torch.manual_seed(0)
    model = train.GPT(VOCAB, SEQ_LEN).initialise()
    with torch.no_grad():
        model.head.weight.normal_()
    train.save(model, str(tmp_path / "artifact"))
    return tmp_path


def test_rounds_are_answered_one_after_the_other_and_agree_with_the_claim(task: Path) -> None:
    chance = np.random.default_rng(0)
    sequences = chance.integers(0, VOCAB, (N_SEQUENCES, SEQ_LEN + 1)).astype("<u2")
    claimed = answer(task, "claim", tokens=sequences).reshape(N_SEQUENCES, SEQ_LEN)
    environment = job_environment(task, task / "unused", "steps", 1) | {
        "SCORE_ARTIFACT": str(task / "artifact"),
        "SCORE_QUESTIONS": str(task / "questions"),
        "SCORE_OUTPUT": str(task / "answers"),
        "SCORE_LENGTH": str(SEQ_LEN),
        "SCORE_ROUNDS": "2",
        "SCORE_SEQUENCES": str(N_SEQUENCES),
    }
    (task / "questions").touch()
    at = np.arange(N_SEQUENCES)
    with subprocess.Popen([sys.executable, "score.py", "rounds"], cwd=task, env=environment) as job:
        for r, ends in enumerate((chance.integers(0, 8, N_SEQUENCES), chance.integers(8, SEQ_LEN, N_SEQUENCES))):
            shown = sequences[:, : ends.max() + 1].copy()
            shown[np.arange(shown.shape[1]) > ends[:, None]] = 0
            question = payload(shown, ends)
            with (task / "questions").open("ab") as file:
                file.write(len(question).to_bytes(4, "little") + question)
            n_bytes = N_SEQUENCES * VOCAB * 4
            while not (task / "answers").exists() or (task / "answers").stat().st_size < (r + 1) * n_bytes:
                assert job.poll() in (None, 0)
                time.sleep(0.01)
            logits = np.fromfile(task / "answers", dtype=np.float32, offset=r * n_bytes).reshape(N_SEQUENCES, VOCAB)
            np.testing.assert_allclose(nats(logits, sequences[at, ends + 1]), claimed[at, ends], atol=1e-5)
    assert job.returncode == 0
    assert (task / "answers").stat().st_size == 2 * n_bytes


def answer(task: Path, question: str, **files: np.ndarray) -> np.ndarray:
    """Return what `score.py QUESTION` writes, as a flat array."""
    for name, array in files.items():
        array.tofile(task / f"{name}.bin")
    environment = job_environment(task, task / "unused", "steps", 1) | {
        "SCORE_ARTIFACT": str(task / "artifact"),
        "SCORE_TOKENS": str(task / "tokens.bin"),
        "SCORE_OUTPUT": str(task / "answer"),
        "SCORE_LENGTH": str(SEQ_LEN),
    }
    subprocess.run([sys.executable, "score.py", question], cwd=task, env=environment, check=True)
    return np.fromfile(task / "answer", dtype=np.float32)


def test_claim_is_the_models_loss_and_the_audit_agrees_without_the_future(task: Path, train: ModuleType) -> None:
    chance = np.random.default_rng(0)
    sequences = chance.integers(0, VOCAB, (N_SEQUENCES, SEQ_LEN + 1)).astype("<u2")
    claimed = answer(task, "claim", tokens=sequences).reshape(N_SEQUENCES, SEQ_LEN)

    inputs, targets = (torch.from_numpy(part.astype(np.int64)) for part in (sequences[:, :-1], sequences[:, 1:]))
    with torch.inference_mode():
        log_probabilities = train.load(str(task / "artifact"))(inputs).log_softmax(-1)
    expected = -log_probabilities.gather(-1, targets[..., None])[..., 0]
    np.testing.assert_allclose(claimed, expected.numpy(), atol=1e-4)

    positions = chance.integers(0, SEQ_LEN, N_SEQUENCES).astype("<i8")
    prefixes = np.where(np.arange(SEQ_LEN) <= positions[:, None], sequences[:, :-1], 0).astype("<u2")
    logits = answer(task, "audit", tokens=prefixes, positions=positions).reshape(N_SEQUENCES, VOCAB)
    at = np.arange(N_SEQUENCES)
    normaliser = np.log(np.exp(logits.astype(np.float64)).sum(1))
    audited = normaliser - logits[at, sequences[at, positions + 1]]
    np.testing.assert_allclose(audited, claimed[at, positions], atol=1e-4)


def test_other_question_is_refused(task: Path) -> None:
    ran = subprocess.run([sys.executable, "score.py", "guess"], cwd=task, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.strip() == "score.py: the argument must be claim, audit or rounds"
