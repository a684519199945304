"""Deployment records in DynamoDB: value in, value out, and every condition under its name.

    pk                              sk                       what
    <tenant>#<deployment_id>        deployment               the deployment
    <tenant>#<deployment_id>        variant#<model_id>       that it serves this version too, beside the one it is of
    <tenant>#<deployment_id>        waiter                   who waits for its endpoint (a task token)
    <tenant>#name#<model name>      environment#<env>        which deployment holds this place
    endpoint#<endpoint name>        endpoint                 which deployment this endpoint is of

Lists read the indexes `by-tenant`, `by-tenant-status`, `by-tenant-environment`, `by-tenant-environment-status` and
`by-model`, newest first; `by-live` has those of all tenants that have or should have an endpoint, and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from chalicelib.clock import is_id
from chalicelib.cursor import Cursor, pages
from chalicelib.deployments.deployment import Deployment, DeploymentFilter
from chalicelib.deployments.items import (
    LIVE,
    deployment_of,
    item_of,
    other_item,
    other_key,
    others,
    partition,
)
from chalicelib.errors import NotFound
from chalicelib.table import ConditionFailed, Item, Table, Write

_LISTED = ("pk", "sk", "listed_at")
_INDEX = {
    (False, False): ("by-tenant", "tenant_key"),
    (False, True): ("by-tenant-status", "tenant_status_key"),
    (True, False): ("by-tenant-environment", "tenant_environment_key"),
    (True, True): ("by-tenant-environment-status", "tenant_environment_status_key"),
}
_BY_MODEL = ("by-model", "model_key")
_LIVE_PAGE = 100
_UNCHANGED = "#record_version = :read_version"
_NAMES = {"#record_version": "record_version"}


class StaleDeployment(Exception):
    """Somebody else changed one of the records since it was read: read again and decide anew."""


@dataclass(frozen=True)
class Waiter:
    """Who waits for an endpoint to settle: a Step Functions task."""

    revision: int
    token: str
    is_answered: bool


@dataclass(frozen=True)
class DeploymentPage:
    deployments: tuple[Deployment, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class DeploymentStore:
    table: Table

    def get(self, tenant: str, deployment_id: str) -> Deployment | None:
        item = self.table.get(_pk(tenant, deployment_id), "deployment") if is_id(deployment_id) else None
        return deployment_of(item) if item else None

    def at(self, tenant: str, name: str, environment: str) -> Deployment | None:
        """The deployment that holds a place, ended or not."""
        place = self.table.get(*_place(tenant, name, environment))
        return self.get(tenant, place["deployment_id"]) if place else None

    def of_endpoint(self, endpoint: str) -> Deployment | None:
        found = self.table.get(f"endpoint#{endpoint}", "endpoint")
        return self.get(found["tenant"], found["deployment_id"]) if found else None

    def create(self, deployment: Deployment, instead_of: Deployment | None, *also: Write) -> Deployment:
        """Record a deployment in its place, which must be free, or held by one that has been terminated.

        Args:
            instead_of: the terminated one.
            also: writes that happen in the same transaction, or not at all.

        Raises:
            StaleDeployment: somebody else took the place, or one of the other writes failed.
        """
        tenant = deployment.tenant
        pk, sk = _place(tenant, deployment.name, deployment.environment)
        place = {"pk": pk, "sk": sk, "tenant": tenant, "deployment_id": deployment.deployment_id}
        # Two first deployments of one name at the same moment:
        #   A: put deployment A + put place if absent ── succeeds
        #   B: put deployment B + put place if absent ── fails as a whole; B reads the place and finds A deploying
        if instead_of is None:
            taken = self.table.put_if_absent(place)
        else:
            values = {":ended": instead_of.deployment_id}
            taken = self.table.put(place, condition="deployment_id = :ended", values=values)
        endpoint = {
            "pk": f"endpoint#{deployment.endpoint}",
            "sk": "endpoint",
            "tenant": tenant,
            "deployment_id": deployment.deployment_id,
        }
        beside = self._beside(None, deployment)
        self._transact(self.table.put_if_absent(item_of(deployment)), taken, self.table.put(endpoint), *beside, *also)
        return deployment

    def update(self, before: Deployment, after: Deployment, now: datetime, *also: Write) -> Deployment:
        """Replace the record, with the next version, if it is still as `before` was read.

        Raises:
            StaleDeployment: it is not, or one of the other writes failed.
        """
        after = replace(after, record_version=before.record_version + 1, updated_at=now)
        values = {":read_version": before.record_version}
        record = self.table.put(item_of(after), condition=_UNCHANGED, values=values, names=_NAMES)
        self._transact(record, *self._beside(before, after), *also)
        return after

    def _beside(self, before: Deployment | None, after: Deployment) -> list[Write]:
        """What lets it be found by the versions that it serves beside the one that it is of."""
        gone, wanted = others(before) if before else set(), others(after)
        return [
            *(self.table.put(other_item(after, model_id)) for model_id in sorted(wanted - gone)),
            *(self.table.delete(*other_key(after, model_id)) for model_id in sorted(gone - wanted)),
        ]

    def write(self, *writes: Write) -> None:
        """Writes beside the record, all of them or none.

        Raises:
            StaleDeployment: one of the conditions did not hold.
        """
        self._transact(*writes)

    def search(
        self, tenant: str, wanted: DeploymentFilter, limit: int, offset: int, after: Cursor | None
    ) -> DeploymentPage:
        """One page. With a model's id, the other filters choose among that model's few deployments."""
        index, key = _index(wanted)
        value = partition(tenant, wanted)
        if wanted.model_id is None or (wanted.environment is None and wanted.status is None):
            page = self.table.query(
                (key, value), index=index, after=after, limit=limit, offset=offset, newest_first=True
            )
            return DeploymentPage(tuple(self._listed(page.items, wanted)), page.cursor)
        found: list[Deployment] = []
        cursor = after
        while True:
            page = self.table.query((key, value), index=index, after=cursor, limit=1, newest_first=True)
            cursor = page.cursor
            found += [each for each in self._listed(page.items, wanted) if _matches(each, wanted)]
            if cursor is None or len(found) == offset + limit:
                return DeploymentPage(tuple(found[offset:]), cursor)

    def _listed(self, items: Sequence[Item], wanted: DeploymentFilter) -> Iterator[Deployment]:
        """The deployments that items of a list are, or stand for. The index lags behind the records a little."""
        for item in items:
            if item["sk"] == "deployment":
                yield deployment_of(item)
                continue
            found = self.get(item["tenant"], item["deployment_id"])
            if found is not None and wanted.model_id in others(found):
                yield found

    def require(self, tenant: str, deployment_id: str) -> Deployment:
        """The deployment that a task was called for.

        Raises:
            LookupError: there is none, so the call is a mistake.
        """
        deployment = self.get(tenant, deployment_id)
        if deployment is None:
            raise LookupError(f"there is no deployment {deployment_id} of tenant {tenant}")
        return deployment

    def existing(self, tenant: str, deployment_id: str) -> Deployment:
        """The deployment that somebody asks for.

        Raises:
            NotFound: there is none, or it is another tenant's.
        """
        deployment = self.get(tenant, deployment_id)
        if deployment is None:
            raise NotFound("deployment")
        return deployment

    def live(self) -> Iterator[Deployment]:
        """All tenants' deployments that have or should have an endpoint. The index lags behind the records a little."""
        for page in pages(
            lambda after: self.table.query(("live_key", LIVE), index="by-live", after=after, limit=_LIVE_PAGE)
        ):
            yield from map(deployment_of, page.items)

    @staticmethod
    def cursor(text: str | None, tenant: str, wanted: DeploymentFilter) -> Cursor | None:
        """Read a list's cursor; its keys are those of the list that is asked for now, so it can't lead elsewhere."""
        _, key = _index(wanted)
        return Cursor.of_list(text, _LISTED, {key: partition(tenant, wanted)})

    def put_waiter(self, deployment: Deployment, revision: int, token: str) -> None:
        item = {
            "pk": _pk(deployment.tenant, deployment.deployment_id),
            "sk": "waiter",
            "revision": revision,
            "token": token,
            "answered": False,
        }
        self.table.write(self.table.put(item))

    def waiter(self, deployment: Deployment) -> Waiter | None:
        item = self.table.get(_pk(deployment.tenant, deployment.deployment_id), "waiter")
        return Waiter(item["revision"], item["token"], item["answered"]) if item else None

    def answered(self, deployment: Deployment, waiter: Waiter) -> None:
        """Note that the waiter has its answer; a later waiter is left alone."""
        pk = _pk(deployment.tenant, deployment.deployment_id)
        is_this_one = "#token = :token"
        write = self.table.change(
            pk,
            "waiter",
            {"answered": True},
            condition=is_this_one,
            values={":token": waiter.token},
            names={"#token": "token"},
        )
        try:
            self.table.write(write)
        except ConditionFailed:
            return

    def _transact(self, *writes: Write) -> None:
        try:
            self.table.transact(*writes)
        except ConditionFailed:
            raise StaleDeployment from None


def _pk(tenant: str, deployment_id: str) -> str:
    return f"{tenant}#{deployment_id}"


def _place(tenant: str, name: str, environment: str) -> tuple[str, str]:
    return f"{tenant}#name#{name}", f"environment#{environment}"


def _index(wanted: DeploymentFilter) -> tuple[str, str]:
    if wanted.model_id is not None:
        return _BY_MODEL
    return _INDEX[wanted.environment is not None, wanted.status is not None]


def _matches(deployment: Deployment, wanted: DeploymentFilter) -> bool:
    return wanted.status in {None, deployment.status} and wanted.environment in {None, deployment.environment}
