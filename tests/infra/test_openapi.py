"""openapi.json is what the routes are, and holds what the contract promises."""

from __future__ import annotations

import json

from chalicelib.identity.permissions import Permission
from infra import openapi
from infra.names import Json

CONTRACT = {
    "/api/v1/training/jobs": {"get", "post"},
    "/api/v1/training/jobs/{}": {"get", "delete"},
    "/api/v1/training/jobs/{}/logs": {"get"},
    "/api/v1/models": {"get", "post"},
    "/api/v1/models/{}/deploy": {"post"},
}


def committed() -> Json:
    document: Json = json.loads(openapi.FILE.read_text(encoding="utf-8"))
    return document


def test_the_committed_file_is_what_the_routes_are() -> None:
    assert openapi.FILE.read_text(encoding="utf-8") == openapi.text(), "run python -m infra.openapi"


def test_every_path_of_the_contract_is_there() -> None:
    found = {_unnamed(path): set(methods) for path, methods in committed()["paths"].items()}
    assert {path: methods - found.get(path, set()) for path, methods in CONTRACT.items()} == {
        path: set() for path in CONTRACT
    }


def test_both_ways_to_show_who_is_asking_are_the_contracts() -> None:
    document = committed()
    assert document["security"] == [{"BearerAuth": []}, {"ApiKeyAuth": []}]
    schemes = document["components"]["securitySchemes"]
    assert (schemes["BearerAuth"]["type"], schemes["BearerAuth"]["scheme"]) == ("http", "bearer")
    assert (schemes["ApiKeyAuth"]["in"], schemes["ApiKeyAuth"]["name"].lower()) == ("header", "x-api-key")


def test_only_health_and_info_are_public() -> None:
    public = [path for path, methods in committed()["paths"].items() for each in methods.values() if "security" in each]
    assert public == ["/api/v1/health", "/api/v1/info"]


def test_permissions_are_those_of_the_table() -> None:
    known = {permission.value for permission in Permission}
    operations = [each for methods in committed()["paths"].values() for each in methods.values()]
    assert {each[openapi.PERMISSION] for each in operations if openapi.PERMISSION in each} <= known


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [each["operationId"] for methods in committed()["paths"].values() for each in methods.values()]
    assert len(set(names)) == len(names)


def _unnamed(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
