"""Reads handwritten digits: a small convolutional network in PyTorch, on a GPU if there is one.

python train.py --data-path digits.csv --output-path model --parameters '{"epochs": 5, "optimizer": "adamw"}'
"""

import argparse
import json
from pathlib import Path

import mlflow
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}


class DigitReader(nn.Module):
    """Takes rows of 64 pixel values (0 to 16) as they stand in the CSV file; gives a score for each digit."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(pixels.reshape(-1, 1, 8, 8) / 16.0)


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
    optimizer_name = args.parameters.get("optimizer", "adam")

    torch.manual_seed(7)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train, test = load(find_csv(args.data_path))
    print(f"job {args.job_id}: {len(train)} digits to learn from, {len(test)} to be tested on, on {device}")

    model = DigitReader().to(device)
    optimizer = OPTIMIZERS[optimizer_name](model.parameters(), lr=learning_rate)
    loss_of = nn.CrossEntropyLoss()

    with mlflow.start_run():
        mlflow.log_params({"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate})
        mlflow.log_param("optimizer", optimizer_name)
        for epoch in range(1, epochs + 1):
            model.train()
            total = 0.0
            for pixels, digits in DataLoader(train, batch_size=batch_size, shuffle=True):
                optimizer.zero_grad()
                loss = loss_of(model(pixels.to(device)), digits.to(device))
                loss.backward()
                optimizer.step()
                total += loss.item() * len(digits)
            metrics = {"loss": total / len(train), **evaluate(model, test, device)}
            mlflow.log_metrics(metrics, step=epoch)
            print(f"progress: epoch {epoch}/{epochs}")
            print(f"epoch {epoch}: " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()), flush=True)

    args.output_path.mkdir(parents=True, exist_ok=True)
    save(model.cpu().eval(), args.output_path / "model.pt2")


def find_csv(path: Path) -> Path:
    """The data set itself, or the one CSV file in the folder that holds it."""
    return path if path.is_file() else next(path.rglob("*.csv"))


def load(path: Path) -> tuple[TensorDataset, TensorDataset]:
    table = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32)
    everything = TensorDataset(torch.from_numpy(table[:, :-1]), torch.from_numpy(table[:, -1]).long())
    return random_split(everything, [0.8, 0.2], generator=torch.Generator().manual_seed(7))


def evaluate(model: nn.Module, data: TensorDataset, device: torch.device) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 averaged over the ten digits."""
    pixels, actual = zip(*data, strict=True)
    model.eval()
    with torch.no_grad():
        predicted = model(torch.stack(pixels).to(device)).argmax(dim=1).cpu()
    confusion = torch.zeros(10, 10)
    confusion.index_put_((torch.stack(actual), predicted), torch.tensor(1.0), accumulate=True)
    hits = confusion.diagonal()
    precision = hits / confusion.sum(dim=0).clamp(min=1)
    recall = hits / confusion.sum(dim=1).clamp(min=1)
    f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-9)
    return {
        "accuracy": float(hits.sum() / confusion.sum()),
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
        "f1_score": float(f1.mean()),
    }


def save(model: nn.Module, path: Path) -> None:
    """The whole program, for any number of rows at once: whoever loads it needs torch, and not this script."""
    rows = torch.export.Dim("rows", min=1, max=4096)
    program = torch.export.export(model, (torch.zeros(2, 64),), dynamic_shapes=({0: rows},))
    torch.export.save(program, path)


if __name__ == "__main__":
    main()
