"""score.py: what it claims and what an audit finds are the loss of the model that was saved."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

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
    assert ran.stderr.strip() == "score.py: say claim or audit"
