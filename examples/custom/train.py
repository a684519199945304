"""Foretells how diabetes progresses: ridge regression written out in numpy, no framework at all.

The penalty is chosen by cross-validation. The model is a file of our own making, so inference.py beside this script says
how it is loaded and asked.

    python train.py --data-path diabetes.csv --output-path model --parameters '{"folds": 5}'
"""

import argparse
import json
from pathlib import Path

import numpy as np

PENALTIES = (0.01, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job-id", default="local")
    parser.add_argument("--data-path", type=Path, default=Path("diabetes.csv"))
    parser.add_argument("--output-path", type=Path, default=Path("model"))
    parser.add_argument("--parameters", type=json.loads, default={})
    args = parser.parse_args()
    folds = int(args.parameters.get("folds", 5))
    penalties = [float(penalty) for penalty in args.parameters.get("penalties", PENALTIES)]

    columns, table = load(find_csv(args.data_path))
    table = np.random.default_rng(7).permutation(table)
    held_back = len(table) // 5
    test, train = table[:held_back], table[held_back:]
    print(f"job {args.job_id}: {len(train)} patients to learn from, {len(test)} to be tested on")

    errors = []
    for step, penalty in enumerate(penalties, start=1):
        errors.append(cross_validate(train, penalty, folds))
        print(f"progress: step {step}/{len(penalties)}")
        print(f"penalty {penalty:g}: cv_rmse={errors[-1]:.4f}", flush=True)
    best = penalties[int(np.argmin(errors))]

    model = fit(train, best)
    residual = test[:, -1] - predict(model, test[:, :-1])
    spread = test[:, -1] - test[:, -1].mean()
    print(f"chosen: penalty {best:g}")
    print(f"rmse={np.sqrt(np.mean(residual**2)):.4f}")
    print(f"mae={np.mean(np.abs(residual)):.4f}")
    print(f"r2={1 - np.sum(residual**2) / np.sum(spread**2):.4f}")

    args.output_path.mkdir(parents=True, exist_ok=True)
    np.savez(args.output_path / "ridge.npz", columns=np.array(columns[:-1]), **model)


def find_csv(path: Path) -> Path:
    """The data set itself, or the one CSV file in the folder that holds it."""
    return path if path.is_file() else next(path.rglob("*.csv"))


def load(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open(encoding="utf-8") as source:
        columns = source.readline().strip().split(",")
        return columns, np.loadtxt(source, delimiter=",")


def fit(table: np.ndarray, penalty: float) -> dict[str, np.ndarray]:
    """Weights that minimise squared error plus ``penalty`` times their own squares, on standardised features."""
    features, target = table[:, :-1], table[:, -1]
    mean, scale = features.mean(axis=0), features.std(axis=0)
    standard = (features - mean) / scale
    gram = standard.T @ standard + penalty * np.eye(standard.shape[1])
    weights = np.linalg.solve(gram, standard.T @ (target - target.mean()))
    return {"mean": mean, "scale": scale, "weights": weights, "intercept": np.array(target.mean())}


def predict(model: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    return (features - model["mean"]) / model["scale"] @ model["weights"] + model["intercept"]


def cross_validate(table: np.ndarray, penalty: float, folds: int) -> float:
    """Root mean squared error over all folds."""
    squares = 0.0
    for fold in range(folds):
        held_back = np.arange(len(table)) % folds == fold
        model = fit(table[~held_back], penalty)
        squares += np.sum((table[held_back, -1] - predict(model, table[held_back, :-1])) ** 2)
    return float(np.sqrt(squares / len(table)))


if __name__ == "__main__":
    main()
