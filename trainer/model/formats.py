"""Recognising a model file from its name and its first bytes, without running anything in it."""

from __future__ import annotations

import io
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path

HEAD_BYTES = 4096
PICKLE_BYTES = 16 * 1024 * 1024
HDF5 = b"\x89HDF\r\n\x1a\n"
# What a pickled state_dict is made of: containers, and functions that rebuild tensors.
STATE_DICT_MODULES = ("collections", "torch", "torch._utils", "torch.storage", "numpy", "_codecs", "builtins")

SAVE_TORCH = (
    "save it with torch.jit.script(model).save(path) or torch.export.save(...), or bring an inference.py whose model_fn"
    " builds the network"
)


@dataclass(frozen=True)
class Format:
    """What a file is. `reason` says why it can't be served, with the cure; `None` when it may be."""

    kind: str
    reason: str | None = None

    @property
    def servable(self) -> bool:
        return self.reason is None


def recognise(path: Path) -> Format | None:
    """The format of one file, or `None` for a file that is no model."""
    by_suffix = _RECOGNISERS.get(path.suffix.lower())
    if by_suffix is None:
        return None
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        return Format("unknown", f"{path.name} can't be read: {error.strerror}")
    if not head:
        return Format("unknown", f"{path.name} is empty")
    return by_suffix(path, head)


def _pickle(path: Path, head: bytes) -> Format | None:
    if head.startswith(b"PK\x03\x04"):  # torch.save to a .pkl file
        return _torch(path, head)
    return Format("sklearn")


def _xgboost(path: Path, head: bytes) -> Format | None:
    """JSON and UBJ both begin with the learner; any other JSON file beside a model is none of ours."""
    if b"learner" in head:
        return Format("xgboost")
    return Format("xgboost") if path.suffix == ".model" and head.startswith(b"binf") else None


def _keras(path: Path, head: bytes) -> Format | None:
    if path.name.endswith(".weights.h5"):
        return Format("keras", f"{path.name} holds weights only: save the whole model with model.save('model.keras')")
    names = _zip_names(path)
    if head.startswith(HDF5) or "config.json" in names:
        return Format("keras")
    return Format("unknown", f"{path.name} is neither a Keras archive nor HDF5")


def _torch(path: Path, head: bytes) -> Format | None:
    names = _zip_names(path)
    inner = {name.partition("/")[2] for name in names} | names
    if any(n.endswith("constants.pkl") for n in inner) and any(n.startswith("code/") for n in inner):
        return Format("torchscript")
    if "archive_format" in inner or any(n.endswith(("serialized_exported_program.json", ".pt2")) for n in inner):
        return Format("torch_export")
    if path.suffix == ".pt2":
        return Format("unknown", f"{path.name} is no torch.export program")
    pickled = next((name for name in names if name.endswith("data.pkl")), None)
    if pickled is None:
        if head.startswith(b"\x80"):
            return Format("unknown", f"{path.name} is a pickle, not a program PyTorch can run by itself: {SAVE_TORCH}")
        return Format("unknown", f"{path.name} is no PyTorch file")
    classes = _pickled_classes(path, pickled)
    if all(module in STATE_DICT_MODULES for module, _ in classes):
        return Format("unknown", f"{path.name} is a bare state_dict, weights without a network: {SAVE_TORCH}")
    owner = next(f"{module}.{name}" for module, name in classes if module not in STATE_DICT_MODULES)
    return Format("unknown", f"{path.name} is a pickled module that needs the code of {owner}: {SAVE_TORCH}")


def _onnx(path: Path, head: bytes) -> Format | None:
    del head
    return Format("unknown", f"{path.name} is an ONNX model: bring an inference.py that runs it")


def _zip_names(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return set()


def _pickled_classes(path: Path, member: str) -> list[tuple[str, str]]:
    """(module, name) of every global that a pickle in a zip archive refers to, read from its opcodes."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            content = stream.read(PICKLE_BYTES)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError):
        return []
    found = []
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(content)):
            if opcode.name == "GLOBAL" and isinstance(argument, str):
                module, _, name = argument.partition(" ")
                found.append((module, name))
            elif opcode.name == "STACK_GLOBAL" and len(strings) > 1:
                found.append((strings[-2], strings[-1]))
            elif isinstance(argument, str):
                strings.append(argument)
    except ValueError:  # cut off at the limit, or no pickle at all: what was found until there counts
        return found
    return found


_RECOGNISERS = {
    ".joblib": _pickle,
    ".pkl": _pickle,
    ".pickle": _pickle,
    ".json": _xgboost,
    ".ubj": _xgboost,
    ".model": _xgboost,
    ".keras": _keras,
    ".h5": _keras,
    ".hdf5": _keras,
    ".pt": _torch,
    ".pth": _torch,
    ".pt2": _torch,
    ".onnx": _onnx,
}
