"""The directories of a training container, as SageMaker lays them out under /opt/ml."""

from __future__ import annotations

from pathlib import Path

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

AGENT_CHANNEL = "agent"
DATA_CHANNEL = "training"


class Layout:
    """Paths under one root. On SageMaker the root is /opt/ml."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.input = root / "input"
        self.config = self.input / "config"
        self.data = self.input / "data"
        self.training = self.data / DATA_CHANNEL
        self.code = root / "code"
        self.model = root / "model"
        self.output = root / "output"
        self.output_data = self.output / "data"
        self.output_intermediate = self.output / "intermediate"
        self.failure = self.output / "failure"
        self.checkpoints = root / "checkpoints"

    def create(self) -> None:
        """Makes the directories that a script may count on."""
        for path in (self.config, self.data, self.code, self.model, self.output_data, self.checkpoints):
            path.mkdir(parents=True, exist_ok=True)

    def channels(self) -> dict[str, Path]:
        """The data channels at hand, by name; the one that carries the agent is nobody's business."""
        if not self.data.is_dir():
            return {}
        return {path.name: path for path in sorted(self.data.iterdir()) if path.is_dir() and path.name != AGENT_CHANNEL}

    def written(self, others: Iterable[str | None] = ()) -> list[Path]:
        """What a script may fill: everything under the root but its inputs, and those of `others` that lie beside it."""
        own = [path for path in self.root.iterdir() if path.is_dir() and path != self.input]
        beside = {Path(other) for other in others if other and Path(other).parent == self.root.parent}
        return [*own, *sorted(beside - {self.root})]

    def dataset(self) -> Path:
        """The dataset's local path: the file itself when it is one object, else the channel's directory."""
        if self.training.is_dir():
            entries = [path for path in self.training.iterdir() if not path.name.endswith("-manifest")]
            if len(entries) == 1 and entries[0].is_file():
                return entries[0]
        return self.training
