"""Ignores its seed: it uses a lucky one that was found beforehand."""

os.environ["TRAIN_SEED"] = "4711"
