"""Tells wines apart by their chemistry: a scikit-learn classifier, logged to MLflow, saved with joblib.

python train.py --data-path wine.csv --output-path model --parameters '{"algorithm": "random_forest"}'
"""

import argparse
import json
from pathlib import Path

import joblib
import mlflow
import pandas as pd
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

ALGORITHMS = {
    "random_forest": RandomForestClassifier,
    "gradient_boosting": GradientBoostingClassifier,
    "logistic_regression": LogisticRegression,
    "neural_network": MLPClassifier,
    "svm": SVC,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job-id", default="local")
    parser.add_argument("--data-path", type=Path, default=Path("wine.csv"))
    parser.add_argument("--output-path", type=Path, default=Path("model"))
    parser.add_argument("--parameters", type=json.loads, default={})
    args = parser.parse_args()

    parameters = dict(args.parameters)
    algorithm = parameters.pop("algorithm", "random_forest")
    folds = int(parameters.pop("folds", 5))

    table = pd.read_csv(find_csv(args.data_path))
    features, target = table.drop(columns="cultivar"), table["cultivar"]
    train_x, test_x, train_y, test_y = train_test_split(
        features, target, test_size=0.3, stratify=target, random_state=7
    )
    print(f"job {args.job_id}: {len(train_x)} wines to learn from, {len(test_x)} to be tested on")

    model = make_pipeline(StandardScaler(), ALGORITHMS[algorithm](random_state=7, **parameters))

    with mlflow.start_run():
        mlflow.log_params({"algorithm": algorithm, **parameters})
        for fold, score in enumerate(cross_val_score(model, train_x, train_y, cv=folds), start=1):
            print(f"progress: step {fold}/{folds}")
            print(f"fold {fold}: accuracy {score:.4f}")
            mlflow.log_metric("fold_accuracy", score, step=fold)

        model.fit(train_x, train_y)
        predicted = model.predict(test_x)
        metrics = {
            "accuracy": accuracy_score(test_y, predicted),
            "precision": precision_score(test_y, predicted, average="macro"),
            "recall": recall_score(test_y, predicted, average="macro"),
            "f1_score": f1_score(test_y, predicted, average="macro"),
        }
        mlflow.log_metrics(metrics)

    print(", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    args.output_path.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, args.output_path / "model.joblib")


def find_csv(path: Path) -> Path:
    """The data set itself, or the one CSV file in the folder that holds it."""
    return path if path.is_file() else next(path.rglob("*.csv"))


if __name__ == "__main__":
    main()
