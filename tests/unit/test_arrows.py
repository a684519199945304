"""Which module may import which: the arrows of the design, kept by a test."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (
    "audit",
    "uploads",
    "jobs",
    "models",
    "deployments",
    "identity",
    "api_keys",
    "tracking",
    "costs",
    "capacity",
    "events",
    "webhooks",
    "stats",
)
NOUNS = (
    *("chain", "entry", "job", "model", "deployment", "caller", "permissions", "key", "pool"),
    *("webhook", "delivery", "addresses", "signature", "subject", "framework"),
)
EDGES = ("routes", "tasks")
SHARED = ("chalicelib.audit.chain", "chalicelib.webhooks.signature")
"""What the client has in common with the service: pure rules, standard library only."""


def _modules(package: str) -> list[Path]:
    return sorted(path for path in (ROOT / package).rglob("*.py") if "__pycache__" not in path.parts)


def _imports(path: Path, *, typing_too: bool = False) -> Iterator[str]:
    """Absolute names of what a module imports when it runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped and not typing_too:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", _modules("chalicelib"), ids=_id)
class TestControlPlane:
    def test_imports_boto3_in_aws_only(self, path: Path) -> None:
        if path.name != "aws.py":
            assert not [name for name in _imports(path) if name.split(".")[0] in {"boto3", "botocore"}]

    def test_knows_nothing_of_laptop_client_or_template(self, path: Path) -> None:
        foreign = {"localcloud", "aimatrix", "infra", "trainer", "ministack", "mlflow", "sagemaker", "moto"}
        assert not [name for name in _imports(path, typing_too=True) if name.split(".")[0] in foreign]

    def test_keeps_chalice_at_the_edges(self, path: Path) -> None:
        if path.parent.name != "api" and path.stem not in {*EDGES, "authorizer"}:
            assert not [name for name in _imports(path) if name.split(".")[0] == "chalice"]

    def test_points_from_edge_to_rules_to_store_to_noun(self, path: Path) -> None:
        imported = set(_imports(path))
        if path.stem in NOUNS and path.parent.name in ROOMS:
            reached = {
                name for name in imported if name.endswith((".store", ".service", ".routes", ".tasks", ".gateways"))
            }
            assert not reached
        if path.stem in {"store", "service", "lifecycle", "gateways", "rules"}:
            assert not {
                name
                for name in imported
                if name.rsplit(".", 1)[-1] in EDGES or f"{name}.".startswith("chalicelib.api.")
            }
        if path.stem == "store":
            assert not {name for name in imported if name.endswith(".service")}


@pytest.mark.parametrize("path", _modules("trainer"), ids=_id)
def test_the_agent_needs_nothing_but_the_standard_library_and_itself(path: Path) -> None:
    foreign = {"chalicelib", "localcloud", "aimatrix", "infra", "boto3", "botocore", "requests", "httpx", "pydantic"}
    assert not [name for name in _imports(path) if name.split(".")[0] in foreign]


@pytest.mark.parametrize("path", _modules("backup"), ids=_id)
def test_the_operators_tool_meets_aws_in_one_module_and_nothing_of_the_template(path: Path) -> None:
    foreign = {"aimatrix", "infra", "trainer", "chalice", "pydantic"}
    if path.name != "installation.py":
        foreign |= {"boto3", "botocore", "localcloud"}
    assert not [name for name in _imports(path) if name.split(".")[0] in foreign]


@pytest.mark.parametrize("name", ["errors", "layout", "verifying"])
def test_an_export_is_checked_with_nothing_but_the_standard_library(name: str) -> None:
    path = ROOT / "backup" / f"{name}.py"
    assert {imported.split(".")[0] for imported in _imports(path)} <= {*sys.stdlib_module_names, "backup"}


@pytest.mark.parametrize("path", _modules("aimatrix"), ids=_id)
def test_the_client_works_without_the_service(path: Path) -> None:
    foreign = {"chalicelib", "infra", "trainer", "boto3", "pydantic", "chalice"}
    assert not [name for name in _imports(path) if name.split(".")[0] in foreign and not _is_shared(name)]


@pytest.mark.parametrize("name", SHARED)
def test_what_the_client_shares_needs_nothing_but_the_standard_library(name: str) -> None:
    parts = name.split(".")
    packages = [ROOT.joinpath(*parts[:length], "__init__.py") for length in range(1, len(parts))]
    for path in (*packages, ROOT.joinpath(*parts).with_suffix(".py")):
        assert {imported.split(".")[0] for imported in _imports(path)} <= sys.stdlib_module_names, path


def _is_shared(name: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in SHARED)


@pytest.mark.parametrize("path", _modules("examples"), ids=_id)
def test_the_examples_import_nothing_of_ours(path: Path) -> None:
    ours = {"chalicelib", "infra", "trainer", "localcloud", "aimatrix"}
    assert not [name for name in _imports(path) if name.split(".")[0] in ours]
