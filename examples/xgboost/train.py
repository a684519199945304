"""Tells benign tumours from malignant ones: XGBoost in SageMaker's script mode.

Its figures are printed, and never logged anywhere: metric definitions read them, as they do for SageMaker's own
algorithms. Run by hand:

    SM_MODEL_DIR=model SM_CHANNEL_TRAINING=. python train.py --max_depth 3
"""

import argparse
import os
from pathlib import Path

import pandas as pd
import xgboost as xgb
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from sklearn.model_selection import train_test_split


class PrintRounds(xgb.callback.TrainingCallback):
    """One line a boosting round, in the form that the metric definitions look for."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: dict) -> bool:  # noqa: ARG002
        figures = " ".join(
            f"{data}-{metric}:{values[-1]:.6f}"
            for data, measured in evals_log.items()
            for metric, values in measured.items()
        )
        print(f"[{epoch}] {figures}")
        print(f"progress: step {epoch + 1}/{self.rounds}", flush=True)
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objective", default="binary:logistic")
    parser.add_argument("--num_round", type=int, default=60)
    parser.add_argument("--max_depth", type=int, default=4)
    parser.add_argument("--eta", type=float, default=0.2)
    parser.add_argument("--subsample", type=float, default=0.9)
    parser.add_argument("--train", type=Path, default=Path(os.environ.get("SM_CHANNEL_TRAINING", ".")))
    parser.add_argument("--model-dir", type=Path, default=Path(os.environ.get("SM_MODEL_DIR", "model")))
    args = parser.parse_args()

    table = pd.concat(pd.read_csv(path) for path in sorted(args.train.rglob("*.csv")))
    features, target = table.drop(columns="benign"), table["benign"]
    train_x, test_x, train_y, test_y = train_test_split(
        features, target, test_size=0.25, stratify=target, random_state=7
    )
    train = xgb.DMatrix(train_x, label=train_y)
    validation = xgb.DMatrix(test_x, label=test_y)

    booster = xgb.train(
        {
            "objective": args.objective,
            "eval_metric": ["logloss", "auc"],
            "max_depth": args.max_depth,
            "eta": args.eta,
            "subsample": args.subsample,
            "seed": 7,
            "device": "cuda" if int(os.environ.get("SM_NUM_GPUS") or 0) else "cpu",
        },
        train,
        num_boost_round=args.num_round,
        evals=[(train, "train"), (validation, "validation")],
        callbacks=[PrintRounds(args.num_round)],
        verbose_eval=False,
    )

    predicted = booster.predict(validation) > 0.5
    print(f"accuracy={accuracy_score(test_y, predicted):.4f}")
    print(f"precision={precision_score(test_y, predicted):.4f}")
    print(f"recall={recall_score(test_y, predicted):.4f}")
    print(f"f1_score={f1_score(test_y, predicted):.4f}")

    args.model_dir.mkdir(parents=True, exist_ok=True)
    booster.save_model(args.model_dir / "model.ubj")


if __name__ == "__main__":
    main()
