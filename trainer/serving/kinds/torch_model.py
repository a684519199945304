"""PyTorch programs that need no source code to run: TorchScript archives and `torch.export` programs."""

from __future__ import annotations

from typing import Any

from trainer.serving.loaded import Loaded, model_refused, refuse_params, tensor, tensor_schema, zeros
from trainer.serving.protocol import InputError, Inputs


def load_torchscript(path: str) -> Loaded:
    import torch

    return TorchModel(torch.jit.load(path, map_location=_device(torch)))


def load_torch_export(path: str) -> Loaded:
    import torch

    program = torch.export.load(path)
    expected = []
    graph_inputs = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    for name in program.graph_signature.user_inputs:
        example: Any = graph_inputs[name].meta["val"] if name in graph_inputs else None
        if getattr(example, "shape", None) is None:
            return TorchModel(program.module())
        shape = tuple(d if isinstance(d, int) else None for d in example.shape)
        expected.append((str(name), shape, str(example.dtype).replace("torch.", "")))
    return TorchModel(program.module(), expected)


def _device(torch: Any) -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


class TorchModel(Loaded):
    """Attributes: `expected` holds (name, shape with the batch dimension, dtype) of each input where the file tells."""

    def __init__(self, native: Any, expected: list[tuple[str, tuple[int | None, ...], str]] | None = None) -> None:
        super().__init__(native)
        self.expected = expected
        if expected is None and hasattr(native, "eval"):
            native.eval()
        parameter = next((p for p in native.parameters() if p.is_floating_point()), None)
        self.dtype = str(parameter.dtype).replace("torch.", "") if parameter is not None else "float32"
        self.device = parameter.device if parameter is not None else "cpu"

    def predict(self, inputs: Inputs) -> Any:
        import torch

        refuse_params(inputs)
        arrays = self._arrays(inputs)
        with torch.inference_mode():
            try:
                return self._run(torch, arrays)
            except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
                if self.expected is None and _are_whole(arrays):
                    try:  # token ids: whole numbers for an embedding
                        return self._run(torch, [a.astype("int64") for a in arrays])
                    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError):
                        pass
                raise model_refused(error) from error

    def _arrays(self, inputs: Inputs) -> list[Any]:
        names = self._names()
        if inputs.named is not None and set(inputs.named) == set(names):
            return [self._array(inputs.named[name], index) for index, name in enumerate(names)]
        if len(names) > 1:
            raise InputError(f'the model has several inputs, send {{"inputs": {{...}}}} with {names}')
        return [self._array(inputs.as_table().rows, 0)]

    def _names(self) -> list[str]:
        if self.expected is not None:
            return [name for name, _, _ in self.expected]
        schema = getattr(getattr(self.native, "forward", None), "schema", None)
        if schema is None:
            return ["input"]
        return [a.name for a in schema.arguments[1:] if not a.has_default_value()] or ["input"]

    def _array(self, rows: Any, index: int) -> Any:
        if self.expected is None:
            array = tensor(rows, self.dtype)
            return array[None] if array.ndim == 1 else array  # a flat list is one instance
        name, shape, dtype = self.expected[index]
        return tensor(rows, dtype, shape[1:], repr(name))

    def _run(self, torch: Any, arrays: list[Any]) -> Any:
        size = self.expected[0][1][0] if self.expected and self.expected[0][1] else None
        rows = len(arrays[0])
        if size is None or size == rows:
            return self.native(*(torch.from_numpy(a).to(self.device) for a in arrays))
        # Exported for a batch of one fixed size: as many calls as it takes.
        if rows % size:
            raise InputError(f"the model was exported for batches of {size} instances, {rows} is no multiple of it")
        parts = [
            self.native(*(torch.from_numpy(a[start : start + size]).to(self.device) for a in arrays))
            for start in range(0, rows, size)
        ]
        return torch.cat(parts) if hasattr(parts[0], "shape") else parts

    def describe(self) -> dict[str, Any]:
        if self.expected is not None:
            several = len(self.expected) > 1
            schema = [
                tensor_schema(dtype, shape[1:], name if several else None) for name, shape, dtype in self.expected
            ]
            examples = {n: [zeros(s[1:], d) for _ in range(s[0] or 1)] for n, s, d in self.expected if s}
            example = {"inputs": examples if several else next(iter(examples.values()))}
            return {"signature": {"inputs": schema}, "input_example": example}
        # TorchScript keeps no input shape. A first weight of two dimensions is usually a linear layer's (out, in); the
        # caller tries the example out before believing it.
        first = next((p for name, p in self.native.named_parameters() if name.endswith("weight")), None)
        if first is None or first.dim() != 2 or len(self._names()) != 1:
            return {}
        shape = (int(first.shape[1]),)
        example = {"inputs": [zeros(shape, self.dtype)]}
        return {"signature": {"inputs": [tensor_schema(self.dtype, shape)]}, "input_example": example}


def _are_whole(arrays: list[Any]) -> bool:
    return all((a == a.astype("int64")).all() for a in arrays)
