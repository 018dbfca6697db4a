"""Answers the host's question: the model's outputs for given inputs. A frozen file, and untrusted like train.py."""

import os
import sys

import numpy as np
import train  # the trial's edited script

if __name__ == "__main__":
    if sys.argv[1:] != ["predict"]:
        sys.exit("score.py: the argument must be predict")
    predict = train.load(os.environ["SCORE_ARTIFACT"])
    inputs = np.fromfile(os.environ["SCORE_INPUTS"], dtype=np.float32).reshape(-1, train.N_INPUTS)
    predict(inputs).astype(np.float32).tofile(os.environ["SCORE_OUTPUT"])
