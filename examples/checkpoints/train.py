"""Reads handwritten digits with a linear classifier, epoch by epoch; goes on from its checkpoint when it was interrupted."""

import argparse
import os
import signal
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

stopped = False


def stop(*_):
    global stopped
    stopped = True


def load(path):
    """Epochs done, and the classifier after them; None where nothing was kept."""
    return joblib.load(path) if path.exists() else (0, None)


def save(path, epoch, classifier):
    # Written beside and renamed: whoever copies the directory meanwhile never sees half a file.
    part = path.with_suffix(".part")
    joblib.dump((epoch, classifier), part)
    part.replace(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--alpha", type=float, default=1e-4)
    parser.add_argument("--seconds-per-epoch", type=float, default=0.0, help="slow it down, to try an interruption")
    args = parser.parse_args()
    checkpoint = Path(os.environ.get("SM_CHECKPOINT_DIR", "checkpoints")) / "digits.joblib"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    # A spot instance that is taken away sends SIGTERM first: the epoch is finished and kept.
    signal.signal(signal.SIGTERM, stop)

    table = pd.read_csv(next(Path(os.environ.get("SM_CHANNEL_TRAINING", "data")).glob("*.csv")))
    pixels, digit = table.drop(columns="target").to_numpy() / 16, table["target"].to_numpy()
    train_x, test_x, train_y, test_y = train_test_split(pixels, digit, test_size=0.25, stratify=digit, random_state=7)

    done, classifier = load(checkpoint)
    print(f"goes on after epoch {done}" if done else "begins", flush=True)
    if classifier is None:
        classifier = SGDClassifier(loss="log_loss", alpha=args.alpha, random_state=7)
    for epoch in range(done + 1, args.epochs + 1):
        order = np.random.default_rng(epoch).permutation(len(train_x))
        for batch in np.array_split(order, 20):
            classifier.partial_fit(train_x[batch], train_y[batch], classes=np.arange(10))
        time.sleep(args.seconds_per_epoch)
        save(checkpoint, epoch, classifier)
        print(f"progress: epoch {epoch}/{args.epochs}", flush=True)
        if stopped:
            raise SystemExit("interrupted; the checkpoint is kept")

    print(f"accuracy={accuracy_score(test_y, classifier.predict(test_x)):.4f};")
    joblib.dump(classifier, Path(os.environ.get("SM_MODEL_DIR", ".")) / "model.joblib")
