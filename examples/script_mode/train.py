import argparse
import json
import os
from pathlib import Path

import joblib
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier


def parse_args():
    parser = argparse.ArgumentParser()

    # hyperparameters sent by the client are passed as command-line arguments to the script
    parser.add_argument("--max-leaf-nodes", type=int, default=8)
    parser.add_argument("--min-samples-leaf", type=int, default=2)
    parser.add_argument("--test-size", type=float, default=0.3)
    parser.add_argument("--random-state", type=int, default=42)

    # data, model, and output directories
    parser.add_argument("--output-data-dir", type=str, default=os.environ.get("SM_OUTPUT_DATA_DIR"))
    parser.add_argument("--model-dir", type=str, default=os.environ.get("SM_MODEL_DIR"))
    parser.add_argument("--train", type=str, default=os.environ.get("SM_CHANNEL_TRAINING"))

    return parser.parse_known_args()[0]


def read_channel(channel):
    files = sorted(file for file in Path(channel).iterdir() if file.suffix == ".csv")
    if not files:
        raise SystemExit(f"no csv files in {channel}")
    return pd.concat([pd.read_csv(file, header=None) for file in files])


if __name__ == "__main__":
    args = parse_args()
    print("instance:", os.environ.get("SM_CURRENT_HOST"), "gpus:", os.environ.get("SM_NUM_GPUS"))
    print("hyperparameters:", os.environ.get("SM_HPS"))

    data = read_channel(args.train)
    # first column: the label
    X, y = data.iloc[:, 1:].to_numpy(), data.iloc[:, 0].to_numpy()
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=args.test_size, random_state=args.random_state, stratify=y
    )

    clf = DecisionTreeClassifier(
        max_leaf_nodes=args.max_leaf_nodes,
        min_samples_leaf=args.min_samples_leaf,
        random_state=args.random_state,
    )
    clf.fit(X_train, y_train)

    y_pred = clf.predict(X_test)
    print(f"accuracy={accuracy_score(y_test, y_pred):.4f};")
    print(f"precision={precision_score(y_test, y_pred, average='macro'):.4f};")
    print(f"recall={recall_score(y_test, y_pred, average='macro'):.4f};")
    print(f"f1_score={f1_score(y_test, y_pred, average='macro'):.4f};")

    report = {"leaves": int(clf.get_n_leaves()), "depth": int(clf.get_depth())}
    Path(args.output_data_dir, "tree.json").write_text(json.dumps(report))
    joblib.dump(clf, Path(args.model_dir, "model.joblib"))
