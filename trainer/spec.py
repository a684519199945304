"""`spec.json`: what the control plane asks of one attempt."""

from __future__ import annotations

import json

from trainer.errors import SpecError
from trainer.s3 import S3Uri

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from typing import Any

SCHEMA = 1
SIZE_LIMIT = 4 * 1024 * 1024
ARGUMENT_STYLES = ("auto", "document", "script_mode")


class Spec:
    """One attempt, read-only once parsed. Times are in seconds, sizes in bytes, `None` where the job sets no limit."""

    def __init__(self, document: dict[str, Any]) -> None:
        field = _Reader(document)
        self.tenant: str = field.text("tenant")
        self.user: str = field.text("user")
        self.job_id: str = field.text("job_id")
        self.attempt: int = field.number("attempt")
        self.token: str = field.text("token")
        self.name: str = field.text("name")
        self.framework: str = field.text("framework")
        script = _Reader(field.mapping("script"), "script.")
        self.script_uri = S3Uri.parse(script.text("uri"))
        self.script_name = _file_name(document["script"].get("name") or self.script_uri.name)
        self.requirements_uri = field.address("requirements")
        self.inference_uri = field.address("inference")
        self.dataset_uri = field.address("dataset")
        self.checkpoints_uri = field.address("checkpoints")
        self.parameters: dict[str, Any] = field.mapping("parameters")
        self.environment_variables: dict[str, str] = {
            name: str(value) for name, value in field.mapping("environment_variables").items()
        }
        self.secret_variables: dict[str, dict[str, str]] = field.mapping("secret_variables")
        self.arguments: str = document.get("arguments") or "auto"
        if self.arguments not in ARGUMENT_STYLES:
            raise SpecError(f"spec.json: arguments is {self.arguments!r}, not one of {', '.join(ARGUMENT_STYLES)}")
        self.metric_definitions: list[tuple[str, str]] = [
            (str(item["name"]), str(item["regex"])) for item in document.get("metric_definitions") or []
        ]
        self.gpu_count = int(document.get("gpu_count") or 0)
        self.max_runtime_seconds: float | None = document.get("max_runtime_seconds")
        limits = document.get("limits") or {}
        self.disk_bytes: int | None = limits.get("disk_bytes")
        self.log_bytes: int | None = limits.get("log_bytes")
        self.prefix = S3Uri.parse(field.text("prefix"))
        mlflow = document.get("mlflow") or {}
        self.experiment_name: str = mlflow.get("experiment_name") or self.name
        self.run_name: str = mlflow.get("run_name") or self.job_id

    @classmethod
    def parse(cls, body: bytes) -> Spec:
        """Raises `SpecError` for anything that is not a spec of this schema."""
        try:
            document = json.loads(body)
        except ValueError as error:
            raise SpecError(f"spec.json is not JSON: {error}") from error
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise SpecError(f"spec.json is not of schema {SCHEMA}")
        try:
            return cls(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SpecError(f"spec.json is incomplete: {error!r}") from error


class _Reader:
    """Typed access to a document, naming the field that is missing or of the wrong type."""

    def __init__(self, document: dict[str, Any], path: str = "") -> None:
        self._document = document
        self._path = path

    def text(self, name: str) -> str:
        value = self._document.get(name)
        if not isinstance(value, str) or not value:
            raise SpecError(f"spec.json: {self._path}{name} is missing")
        return value

    def number(self, name: str) -> int:
        value = self._document.get(name)
        if not isinstance(value, int):
            raise SpecError(f"spec.json: {self._path}{name} is missing")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._document.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise SpecError(f"spec.json: {self._path}{name} is not an object")
        return value

    def address(self, name: str) -> S3Uri | None:
        uri = self.mapping(name).get("uri")
        return S3Uri.parse(uri) if uri else None


def _file_name(name: str) -> str:
    if "/" in name or "\0" in name or name in {"", ".", ".."}:
        raise SpecError(f"spec.json: script.name {name!r} is not a file name")
    return name
