"""MLflow's model registry: one version there for each model here, however often it is asked for.

A version is recognised by the tag `aimatrix.model_id`. Creating one is the only request here that must not be repeated
blindly, so each try looks first whether an earlier one, whose answer was lost, did it already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.errors import Unavailable
from chalicelib.tracking.client import ATTEMPTS, MlflowRefused, TrackingClient

NEWEST = "newest"
"""The alias of the newest version. MLflow keeps the name `latest` for itself."""

MODEL_ID_TAG = "aimatrix.model_id"
_MAX_TAG_CHARACTERS = 50_000  # MLflow takes 100,000 bytes; a character has up to four, most have one


@dataclass(frozen=True)
class NewVersion:
    """A model to be entered.

    Attributes:
        name: the registered model's name, unique on the MLflow server.
        model_id: our own id.
        source: where the model's files lie.
        logged_model_id: the model that the script logged itself (`m-...`); its place is the source then.
    """

    name: str
    model_id: str
    source: str
    run_id: str | None = None
    logged_model_id: str | None = None
    description: str | None = None
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True)
class RegisteredVersion:
    name: str
    version: str
    run_id: str | None
    alias: str


@dataclass(frozen=True)
class TrackingRegistry:
    client: TrackingClient

    def register(self, new: NewVersion) -> RegisteredVersion:
        """Enter a model version and point the alias at the newest one. Repeating it changes nothing.

        Raises:
            Unavailable: the server does not answer.
            MlflowRefused: it will not take this version.
        """
        self.create_registered_model(new.name)
        version = self._create_once(new)
        self._point_at_newest(new.name)
        return RegisteredVersion(new.name, version, new.run_id, NEWEST)

    def create_registered_model(self, name: str) -> None:
        try:
            self.client.post("registered-models/create", {"name": name})
        except MlflowRefused as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise

    def create_model_version(self, new: NewVersion) -> str:
        """Enter a version without looking for an earlier one; one attempt."""
        logged = self.logged_model(new.logged_model_id) if new.logged_model_id else None
        document: dict[str, Any] = {
            "name": new.name,
            "source": new.source,
            "tags": [{"key": key, "value": value} for key, value in _tags(new).items()],
        }
        if new.run_id:
            document["run_id"] = new.run_id
        if new.description:
            document["description"] = new.description
        if logged:
            document |= {"source": logged["artifact_uri"], "model_id": new.logged_model_id}
        answer = self.client.post("model-versions/create", document, attempts=1)
        return str(answer["model_version"]["version"])

    def find_version(self, new: NewVersion) -> str | None:
        """The version that was made for this model, or that its own script made of the same logged model."""
        where = f"name='{new.name}' AND " + (
            f"run_id='{new.run_id}'" if new.run_id else f"tags.`{MODEL_ID_TAG}`='{new.model_id}'"
        )
        found = self.client.get("model-versions/search", filter=where, max_results="100").get("model_versions", [])
        tagged = {version["version"]: _tag(version, MODEL_ID_TAG) for version in found}
        ours = [version for version, tag in tagged.items() if tag == new.model_id]
        if ours:
            return str(ours[0])
        for version in found:
            if (
                new.logged_model_id
                and version.get("model_id") == new.logged_model_id
                and tagged[version["version"]] is None
            ):
                for key, value in _tags(new).items():
                    self.set_model_version_tag(new.name, str(version["version"]), key, value)
                return str(version["version"])
        return None

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self.client.post("registered-models/alias", {"name": name, "alias": alias, "version": version})

    def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        self.client.post("model-versions/set-tag", {"name": name, "version": version, "key": key, "value": value})

    def logged_model(self, logged_model_id: str) -> Mapping[str, Any] | None:
        """What MLflow knows of a model that a script logged; None when it is gone or the server is too old to have any."""
        try:
            answer = self.client.get(f"logged-models/{logged_model_id}")
        except MlflowRefused as error:
            if error.status == 404:
                return None
            raise
        info: Mapping[str, Any] = answer["model"]["info"]
        return info

    def _create_once(self, new: NewVersion) -> str:
        for failures in range(1, ATTEMPTS + 1):
            found = self.find_version(new)
            if found:
                return found
            try:
                return self.create_model_version(new)
            except Unavailable:
                if failures == ATTEMPTS:
                    raise
                self.client.pause(failures)
        raise AssertionError("unreachable")

    def _point_at_newest(self, name: str) -> None:
        # MLflow sets an alias without a condition. Of two that register at the same moment, the one that sets it last
        # looks again, sees the newer version, and sets it to that.
        pointed: str | None = None
        while (newest := self._newest(name)) != pointed and newest is not None:
            self.set_registered_model_alias(name, NEWEST, newest)
            pointed = newest

    def _newest(self, name: str) -> str | None:
        answer = self.client.get(
            "model-versions/search", filter=f"name='{name}'", max_results="1", order_by="version_number DESC"
        )
        found = answer.get("model_versions", [])
        return str(found[0]["version"]) if found else None


def _tags(new: NewVersion) -> dict[str, str]:
    given = {key: value for key, value in (new.tags or {}).items() if len(value) <= _MAX_TAG_CHARACTERS}
    return {MODEL_ID_TAG: new.model_id, **given}


def _tag(version: Mapping[str, Any], key: str) -> str | None:
    return next((str(tag["value"]) for tag in version.get("tags", []) if tag["key"] == key), None)
