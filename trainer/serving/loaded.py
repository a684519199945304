"""What every loaded model shares: turning a request's rows into arrays, with refusals that name the place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainer.serving.protocol import InputError, Inputs


class Loaded:
    """A model in memory.

    Attributes:
        native: The framework's own object, which a user's `predict_fn` receives.
    """

    def __init__(self, native: Any) -> None:
        self.native = native

    def predict(self, inputs: Inputs) -> Any:
        """Answers the framework's own result.

        Raises:
            InputError: The model can't take these inputs.
        """
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """`signature` and `input_example`, as far as the model tells; zeros where there is no real example."""
        return {}


def refuse_params(inputs: Inputs) -> None:
    if inputs.params:
        raise InputError("this model takes no params")


def model_refused(error: BaseException) -> InputError:
    """What a framework said about an input it could not take, without its trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return InputError(f"the model refused the input: {lines[0][:500] if lines else type(error).__name__}")


def order_columns(inputs: Inputs, names: Sequence[str] | None, optional: Sequence[str] = ()) -> Inputs:
    """The columns in the model's order. Columns are matched by name only when both sides have names."""
    if inputs.columns is None or not names:
        return inputs
    place = {name: index for index, name in enumerate(inputs.columns)}
    if len(place) != len(inputs.columns):
        raise InputError("a column name occurs twice")
    missing = [n for n in names if n not in place and n not in optional]
    unknown = [n for n in inputs.columns if n not in set(names)]
    if missing:
        raise InputError(f"feature {_quoted(missing)} is missing: the model expects {_quoted(names)}")
    if unknown:
        raise InputError(f"feature {_quoted(unknown)} is not known to the model: it expects {_quoted(names)}")
    kept = [n for n in names if n in place]
    return Inputs([[row[place[n]] for n in kept] for row in inputs.rows], kept, params=inputs.params)


def _quoted(names: Sequence[str]) -> str:
    shown = ", ".join(repr(n) for n in names[:20])
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def as_rows(rows: Any, width: int | None) -> list[list[Any]]:
    """A list of rows of `width` cells. A flat list of numbers is one row, or one column for a model of one feature."""
    rows = list(rows)
    if rows and not any(isinstance(row, (list, tuple)) or hasattr(row, "shape") for row in rows):
        rows = [[cell] for cell in rows] if width == 1 else [rows]
    table = [list(row) if isinstance(row, (list, tuple)) or hasattr(row, "shape") else [row] for row in rows]
    expected = width if width is not None else (len(table[0]) if table else 0)
    for number, row in enumerate(table):
        if len(row) != expected:
            source = "the model expects" if width is not None else "the first row has"
            raise InputError(f"row {number} has {len(row)} features, {source} {expected}")
    return table


def is_number(cell: Any) -> bool:
    return cell is None or isinstance(cell, (int, float)) or (hasattr(cell, "dtype") and cell.dtype.kind in "biuf")


def matrix(rows: list[list[Any]], names: Sequence[str] | None = None) -> Any:
    """A float64 matrix; `None` is NaN.

    Raises:
        InputError: A cell is not a number; says which.
    """
    import numpy

    for number, row in enumerate(rows):
        for index, cell in enumerate(row):
            if not is_number(cell):
                label = f" ({names[index]!r})" if names and index < len(names) else ""
                raise InputError(f"row {number}, feature {index}{label}: {_shown(cell)} is not a number")
    return numpy.array([[numpy.nan if cell is None else cell for cell in row] for row in rows], dtype=numpy.float64)


def tensor(rows: Any, dtype: str, shape: Sequence[int | None] | None = None, name: str = "the input") -> Any:
    """An array with a leading batch dimension; `shape` is that of one instance, `None` where any size will do."""
    import numpy

    try:
        array = numpy.asarray(rows)
    except ValueError:
        raise InputError(f"{name} is ragged: every instance must have the same shape") from None
    if array.dtype.kind not in "biuf" and not dtype.startswith(("str", "object")):
        raise InputError(f"{name} is not made of numbers: {_shown(_first_odd(rows))}")
    if array.ndim == 0:
        raise InputError(f"{name} must be a list of instances")
    if shape is not None:
        if array.ndim == len(shape) and _fits(array.shape, shape):
            array = array[None]  # one instance without its batch dimension
        if array.ndim != len(shape) + 1 or not _fits(array.shape[1:], shape):
            expected = "x".join("?" if d is None else str(d) for d in shape) or "a scalar"
            got = "x".join(str(d) for d in array.shape[1:]) or "a scalar"
            raise InputError(f"an instance of {name} has shape {got}, the model expects {expected}")
    return array.astype(dtype)


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(w is None or s == w for s, w in zip(shape, wanted))


def _first_odd(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        for item in value:
            odd = _first_odd(item)
            if odd is not None:
                return odd
        return None
    return None if isinstance(value, (int, float)) else value if value is not None else "null"


def _shown(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= 60 else text[:57] + "..."


def column_schema(names: Sequence[str] | None, width: int, kind: str = "double") -> list[dict[str, Any]]:
    """Inputs in MLflow's column form, or as a tensor when the columns have no names."""
    if names:
        return [{"type": kind, "name": str(n), "required": True} for n in names]
    return [tensor_schema("float64", [width])]


def tensor_schema(dtype: str, shape: Sequence[int | None], name: str | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "type": "tensor",
        "tensor-spec": {"dtype": dtype, "shape": [-1, *(-1 if d is None else d for d in shape)]},
    }
    return {"name": name, **spec} if name else spec


def zeros(shape: Sequence[int | None], dtype: str) -> Any:
    """Nested lists of zeros; a dimension of any size has one entry."""
    if not shape:
        return 0 if "int" in dtype else False if dtype == "bool" else "" if dtype.startswith("str") else 0.0
    return [zeros(shape[1:], dtype) for _ in range(shape[0] or 1)]
