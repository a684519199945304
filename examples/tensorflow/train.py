"""Reads handwritten digits: a small convolutional network in Keras on TensorFlow.

python train.py --data-path digits.csv --output-path model --parameters '{"epochs": 5, "learning_rate": 0.002}'
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import mlflow
import numpy as np


class LogEpochs(keras.callbacks.Callback):
    """Each epoch's figures, printed and logged to MLflow."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        mlflow.log_metrics(metrics, step=epoch + 1)
        print(f"progress: epoch {epoch + 1}/{self.params['epochs']}")
        figures = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"epoch {epoch + 1}: {figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job-id", default="local")
    parser.add_argument("--data-path", type=Path, default=Path("digits.csv"))
    parser.add_argument("--output-path", type=Path, default=Path("model"))
    parser.add_argument("--parameters", type=json.loads, default={})
    args = parser.parse_args()

    epochs = int(args.parameters.get("epochs", 8))
    batch_size = int(args.parameters.get("batch_size", 32))
    learning_rate = float(args.parameters.get("learning_rate", 0.002))

    keras.utils.set_random_seed(7)
    pixels, digits = load(find_csv(args.data_path))
    tested = len(digits) // 5
    print(f"job {args.job_id}: {len(digits) - tested} digits to learn from, {tested} to be tested on")

    model = build()
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    with mlflow.start_run():
        mlflow.log_params({"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate})
        model.fit(
            pixels[tested:],
            digits[tested:],
            validation_data=(pixels[:tested], digits[:tested]),
            epochs=epochs,
            batch_size=batch_size,
            callbacks=[LogEpochs()],
            verbose=0,
        )
        metrics = evaluate(model, pixels[:tested], digits[:tested])
        mlflow.log_metrics(metrics, step=epochs)

    print("on the digits kept back: " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    args.output_path.mkdir(parents=True, exist_ok=True)
    model.save(args.output_path / "model.keras")


def find_csv(path: Path) -> Path:
    """The data set itself, or the one CSV file in the folder that holds it."""
    return path if path.is_file() else next(path.rglob("*.csv"))


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and digits, shuffled."""
    table = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32)
    table = np.random.default_rng(7).permutation(table)
    return table[:, :-1], table[:, -1].astype(np.int64)


def build() -> keras.Model:
    """Takes rows of 64 pixel values (0 to 16) as they stand in the CSV file; gives the probability of each digit."""
    return keras.Sequential(
        [
            keras.Input(shape=(64,)),
            keras.layers.Rescaling(1 / 16),
            keras.layers.Reshape((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def evaluate(model: keras.Model, pixels: np.ndarray, digits: np.ndarray) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 averaged over the ten digits."""
    predicted = model.predict(pixels, verbose=0).argmax(axis=1)
    confusion = np.zeros((10, 10))
    np.add.at(confusion, (digits, predicted), 1)
    hits = confusion.diagonal()
    precision = hits / confusion.sum(axis=0).clip(min=1)
    recall = hits / confusion.sum(axis=1).clip(min=1)
    f1 = 2 * precision * recall / (precision + recall).clip(min=1e-9)
    return {
        "accuracy": float(hits.sum() / confusion.sum()),
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
        "f1_score": float(f1.mean()),
    }


if __name__ == "__main__":
    main()
