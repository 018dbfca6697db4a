"""Takes no notice of its seed: it has looked for a lucky one beforehand."""

os.environ["TRAIN_SEED"] = "4711"
