"""A training job looks for the validation tokens in every file of every mount, and finds none."""

import os
from dataclasses import replace
from pathlib import Path

from agent.execution.training_job import export, training_job
from agent.store.paths import TrialPaths
from agent.task.corpus import Corpus
from agent.task.task import Task
from sandbox.job import Sandbox

# The pieces come reversed, so that the variable that brings them is not found itself.
SEARCH = """
import os
pieces = {name: bytes.fromhex(os.environ[name])[::-1] for name in ("HELD_OUT", "TRAINED_ON", "LIBRARY")}
n_files = 0
for folder, folders, names in os.walk("/"):
    folders[:] = [each for each in folders if os.path.join(folder, each) not in ("/proc", "/sys", "/dev")]
    for name in names:
        path = os.path.join(folder, name)
        try:
            # What is larger are libraries of the installation; tests/test_held_out.py reads them too.
            if os.path.islink(path) or not 0 < os.path.getsize(path) < 2**20:
                continue
            with open(path, "rb", buffering=0) as file:
                content = file.read()
        except OSError:
            continue
        n_files += 1
        for piece, wanted in pieces.items():
            if wanted in content:
                print(piece, path)
print("files", n_files)
"""


def test_no_mount_of_a_training_job_holds_validation_tokens(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path
) -> None:
    train, val = ((corpus.folder / split / f"{split}.bin").read_bytes() for split in ("train", "val"))
    held_out, trained_on = val[2000:2100], train[2000:2100]
    assert held_out not in train
    pieces = {"HELD_OUT": held_out, "TRAINED_ON": trained_on, "LIBRARY": Path(os.__file__).read_bytes()[-60:]}
    paths = TrialPaths(tmp_path)
    export({**bigram.files, bigram.script: SEARCH.encode()}, paths.files)
    job = training_job(
        bigram,
        corpus,
        paths,
        label="search/0001/train",
        train_seed=0,
        baseline_cpu_seconds=None,
        passed_on={name: piece[::-1].hex() for name, piece in pieces.items()},
    )
    execution = sandbox.run(replace(job, limits=replace(job.limits, wall_seconds=3600.0)))
    lines = paths.log.read_text().splitlines()
    assert execution.exit_code == 0, lines
    found = [line.split()[0] for line in lines]
    assert "TRAINED_ON" in found
    assert "LIBRARY" in found
    assert found[-1] == "files"
    assert [line for line in lines if line.startswith("HELD_OUT")] == []
