"""Writes `code/inference.py`: the modules of this package as one file that stands alone.

AWS's inference images import one module from `code/`, some after copying it elsewhere, and none of them has this
project installed. So the modules are joined, in the order in which they need each other: imports are gathered at the
top, imports among the modules disappear, each module's docstring becomes a comment.
"""

from __future__ import annotations

import ast
import pkgutil

ORDER = (
    "protocol",
    "loaded",
    "kinds/sklearn_model",
    "kinds/xgboost_model",
    "kinds/keras_model",
    "kinds/torch_model",
    "kinds/mlflow_model",
    "kinds/__init__",
    "functions",
)
OWN_PACKAGE = "trainer"
HEADER = '''"""{summary}

Generated from the `trainer.serving` package of aimatrix-training: change it there.
"""
'''


def inference_source() -> str:
    """The text of `code/inference.py`, the same for every model."""
    return join([(name, _read(name)) for name in ORDER])


def _read(name: str) -> str:
    # Not by path: the agent imports this package from a zip file.
    content = pkgutil.get_data("trainer.serving", f"{name}.py")
    if content is None:
        raise FileNotFoundError(f"trainer/serving/{name}.py is not in the bundle")
    return content.decode("utf-8")


def join(modules: list[tuple[str, str]]) -> str:
    """One module from several.

    Raises:
        ValueError: Two modules define the same name.
    """
    imports: set[str] = set()
    defined: set[str] = set()
    bodies = []
    summary = ""
    for name, source in modules:
        tree = ast.parse(source)
        docstring = ast.get_docstring(tree) or name
        summary = docstring.splitlines()[0]
        names = set(_defined(tree))
        again = defined & names
        if again:
            raise ValueError(f"{name} defines {min(again)}, which another module defines too")
        defined |= names
        imports |= {ast.unparse(node) for node in tree.body if _is_import(node) and not _is_own(node)}
        dropped: list[ast.AST] = [tree.body[0]] if ast.get_docstring(tree) else []
        dropped += [node for node in tree.body if _is_import(node)]
        dropped += [node for node in ast.walk(tree) if _is_own(node)]
        bodies.append(f"# {'-' * 3} {summary}\n\n" + _without(source, dropped).strip() + "\n")
    future = "from __future__ import annotations"
    top = [HEADER.format(summary=summary), future + "\n", "\n".join(sorted(imports - {future})) + "\n\n"]
    return "\n".join(top) + "\n\n".join(bodies)


def _is_import(node: ast.AST) -> bool:
    return isinstance(node, (ast.Import, ast.ImportFrom))


def _is_own(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == OWN_PACKAGE


def _defined(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
    return names


def _without(source: str, nodes: list[ast.AST]) -> str:
    gone: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.stmt):
            gone.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return "".join(line for number, line in enumerate(source.splitlines(keepends=True), 1) if number not in gone)
