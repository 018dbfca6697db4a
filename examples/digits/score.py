"""Answers the host's question: what does the model make of these inputs? Frozen, and untrusted like train.py."""

import os
import sys

import numpy as np
import train  # the edited script, as the trial wrote it

if __name__ == "__main__":
    if sys.argv[1:] != ["predict"]:
        sys.exit("score.py: say predict")
    predict = train.load(os.environ["SCORE_ARTIFACT"])
    inputs = np.fromfile(os.environ["SCORE_INPUTS"], dtype=np.float32).reshape(-1, train.N_INPUTS)
    predict(inputs).astype(np.float32).tofile(os.environ["SCORE_OUTPUT"])
