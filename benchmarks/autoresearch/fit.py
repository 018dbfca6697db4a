"""Fits the surrogate to the published trials and writes model.npz; checks it by leaving out a method or a seed.

    python -m benchmarks.autoresearch.fit TRIALS.csv.gz [--out model.npz] [--check]

Needs pandas, scikit-learn and lightgbm, on which the project itself does not depend:
`pip install pandas scikit-learn lightgbm`.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # optional packages are imported where they are used, so that --help works without them
    import pandas as pd

from benchmarks.autoresearch.experiment import DEFAULTS, n_weights
from benchmarks.autoresearch.features import N_SMOOTH, loss_features, memory_features
from benchmarks.autoresearch.surrogate import FLOOR, GOOD, MODEL

NAMES = list(DEFAULTS)
N_TREES = 700
N_FOR_SCALES = 1100  # configurations that the length scales are fitted to
REPEAT_SIGMA = 0.0004  # of val_bpb

Vector = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]


def load(path: Path) -> "pd.DataFrame":
    """Return the trials, without the few rows that hold another configuration's result."""
    import pandas as pd

    trials = pd.read_csv(path, low_memory=False)
    expected = np.array([n_weights(row) / 1e6 for row in trials[NAMES].to_dict("records")])
    return trials[~((trials.num_params_M - expected).abs() > 0.3)].reset_index(drop=True)


def fit(trials: "pd.DataFrame") -> Arrays:
    """Return all arrays of a model."""
    ok = trials[trials.status == "ok"]
    groups = ok.groupby(NAMES, sort=True).val_bpb.agg(["mean", "size"]).reset_index()
    rows = groups[NAMES].to_dict("records")
    features = np.array([loss_features(row) for row in rows])
    losses, repeats = groups["mean"].to_numpy(), groups["size"].to_numpy()
    good = losses < GOOD
    return {
        "memory": _fit_memory(ok),
        **_fit_trees(features, np.log(losses - FLOOR), repeats),
        **_fit_process(features[good][:, :N_SMOOTH], losses[good], repeats[good]),
    }


def _fit_memory(ok: "pd.DataFrame") -> Vector:
    known = ok[ok.peak_memory_gb.notna()]
    rows = np.array([memory_features(row) for row in known[NAMES].to_dict("records")])
    peaks = known.peak_memory_gb.to_numpy()
    weights = 1 / np.maximum(peaks, 5)
    fitted: Vector = np.linalg.lstsq(rows * weights[:, None], peaks * weights, rcond=None)[0]
    return fitted


def _fit_process(features: Vector, losses: Vector, repeats: Vector) -> Arrays:
    """Return a Gaussian process on log(val_bpb - FLOOR), its length scales from the better configurations."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    center, scale = features.mean(axis=0), features.std(axis=0)
    z, target = (features - center) / scale, np.log(losses - FLOOR)
    mean, spread = target.mean(), target.std()
    noise = (REPEAT_SIGMA / np.maximum(losses - FLOOR, 0.005) / spread) ** 2 / repeats
    better = 1 / (1 + ((losses - 0.975) / 0.02) ** 2) + 0.15
    rng = np.random.default_rng(0)
    some = rng.choice(len(losses), min(N_FOR_SCALES, len(losses)), replace=False, p=better / better.sum())
    kernel = ConstantKernel(3.0, (1e-2, 1e3)) * Matern(np.full(z.shape[1], 3.0), (0.3, 60), nu=2.5)
    kernel += WhiteKernel(0.01, (1e-5, 0.3))
    process = GaussianProcessRegressor(kernel, alpha=noise[some], random_state=0)
    process.fit(z[some], (target[some] - mean) / spread)
    variance = process.kernel_.k1.k1.constant_value
    lengths, white = process.kernel_.k1.k2.length_scale, process.kernel_.k2.noise_level
    points = z / lengths
    squares = (points**2).sum(axis=1)
    distances = np.sqrt(5 * np.maximum(squares[:, None] + squares[None] - 2 * points @ points.T, 0))
    gram = variance * (1 + distances + distances**2 / 3) * np.exp(-distances)
    weights = np.linalg.solve(gram + np.diag(noise + white), (target - mean) / spread)
    return {
        "gp_points": points.astype(np.float32),
        "gp_weights": weights * variance * spread,
        "gp_center": center,
        "gp_scale": scale * lengths,
        "gp_mean": np.array(mean),
    }


def _fit_trees(features: Vector, target: Vector, repeats: Vector) -> Arrays:
    """Return boosted regression trees as flat arrays; an index i < 0 is leaf ~i."""
    from lightgbm import LGBMRegressor

    booster = LGBMRegressor(
        n_estimators=N_TREES, learning_rate=0.04, num_leaves=24, min_child_samples=8, colsample_bytree=0.6,
        subsample=0.8, subsample_freq=1, reg_lambda=1.0, n_jobs=1, verbose=-1, random_state=0, deterministic=True,
    )  # fmt: skip
    booster.fit(features, target, sample_weight=np.minimum(repeats, 3))
    nodes: list[tuple[int, float, int, int]] = []
    values: list[float] = []

    def add(tree: dict[str, Any]) -> int:
        if "leaf_value" in tree:
            values.append(tree["leaf_value"])
            return ~(len(values) - 1)
        nodes.append((tree["split_feature"], tree["threshold"], 0, 0))
        index = len(nodes) - 1
        left, right = add(tree["left_child"]), add(tree["right_child"])
        nodes[index] = (*nodes[index][:2], left, right)
        return index

    roots = [add(tree["tree_structure"]) for tree in booster.booster_.dump_model()["tree_info"]]
    feature, threshold, left, right = zip(*nodes, strict=True)
    return {
        "tree_roots": np.array(roots, dtype=np.int32),
        "tree_feature": np.array(feature, dtype=np.uint8),
        "tree_threshold": np.array(threshold, dtype=np.float64),
        "tree_left": np.array(left, dtype=np.int32),
        "tree_right": np.array(right, dtype=np.int32),
        "tree_values": np.array(values, dtype=np.float32),
    }


def check(trials: "pd.DataFrame", folder: Path) -> None:
    """Print how well a model predicts each method, and each seed, that was left out of its fit."""
    import pandas as pd

    from benchmarks.autoresearch.surrogate import Surrogate

    print("| left out | variant | n | MAE < 1.02 | bias | rank correlation |\n|---|---|---|---|---|---|")
    for column in ("method", "seed"):
        for left_out in sorted(trials[column].unique()):
            inside = trials[column] == left_out
            keys = trials[NAMES].astype(str).agg("|".join, axis=1)
            path = folder / "left_out.npz"
            others = trials[~inside & ~keys.isin(set(keys[inside]))]  # excludes the same values found by others
            np.savez(path, **fit(others))  # type: ignore[arg-type]
            test = trials[inside & (trials.status == "ok") & (trials.val_bpb < 1.02)].drop_duplicates(NAMES)
            if len(test) < 20:
                continue
            for variant in ("gp", "avg"):
                surrogate = Surrogate(variant, path)
                predicted = np.array([surrogate.mean(row) for row in test[NAMES].to_dict("records")])
                error = predicted - test.val_bpb.to_numpy()
                rank = pd.Series(predicted).corr(test.val_bpb.reset_index(drop=True), method="spearman")
                numbers = f"{np.abs(error).mean():.4f} | {error.mean():+.4f} | {rank:.3f}"
                print(f"| {column} {left_out} | {variant} | {len(test)} | {numbers} |", flush=True)
            path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", type=Path)
    parser.add_argument("--out", type=Path, default=MODEL)
    parser.add_argument("--check", action="store_true", help="leave each method and each seed out; takes half an hour")
    arguments = parser.parse_args()
    missing = [name for name in ("pandas", "sklearn", "lightgbm") if find_spec(name) is None]
    if missing:
        parser.error(f"{', '.join(missing)} cannot be imported: `pip install pandas scikit-learn lightgbm`")
    if not arguments.trials.is_file():
        parser.error(f"{arguments.trials}: there is no such file")
    trials = load(arguments.trials)
    if arguments.check:
        check(trials, arguments.out.parent)
        return
    np.savez_compressed(arguments.out, **fit(trials))  # type: ignore[arg-type]
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB from {len(trials)} trials")


if __name__ == "__main__":
    main()
