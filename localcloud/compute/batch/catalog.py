"""Compute environments, job queues and job definitions: the resources jobs refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from localcloud.compute.batch.names import Arns, ClientFault
from localcloud.compute.batch.policies import Policies
from localcloud.compute.batch.requests import check_container, check_retry_and_timeout
from localcloud.compute.host import Host
from localcloud.compute.operations import Authorization, Call, Document, Operation, PassRole
from localcloud.compute.paging import page_of
from localcloud.compute.store import AlreadyThere

ENVIRONMENT = "batch-compute-environment"
QUEUE = "batch-job-queue"
DEFINITION = "batch-job-definition"
TASKS = "ecs-tasks.amazonaws.com"
PAGE = 100


class Catalog:
    """`changed` is called when jobs may have become able to start."""

    def __init__(self, host: Host, changed: Callable[[], None]) -> None:
        self._host = host
        self._arns = Arns.of(host.settings)
        self._changed = changed
        self.policies = Policies(host, self._queues_with, changed)

    def operations(self) -> Sequence[Operation]:
        on_environment = self._on("compute-environment", "computeEnvironment")
        on_queue = self._on("job-queue", "jobQueue")
        operations: list[tuple[str, Any, Callable[[Document], Authorization]]] = [
            ("CreateComputeEnvironment", self.create_environment, self._may_create_environment),
            ("DescribeComputeEnvironments", self.describe_environments, _anywhere("DescribeComputeEnvironments")),
            ("UpdateComputeEnvironment", self.update_environment, on_environment("UpdateComputeEnvironment")),
            ("DeleteComputeEnvironment", self.delete_environment, on_environment("DeleteComputeEnvironment")),
            ("CreateJobQueue", self.create_queue, self._on("job-queue", "jobQueueName")("CreateJobQueue")),
            ("DescribeJobQueues", self.describe_queues, _anywhere("DescribeJobQueues")),
            ("UpdateJobQueue", self.update_queue, on_queue("UpdateJobQueue")),
            ("DeleteJobQueue", self.delete_queue, on_queue("DeleteJobQueue")),
            ("RegisterJobDefinition", self.register_definition, self._may_register),
            ("DescribeJobDefinitions", self.describe_definitions, _anywhere("DescribeJobDefinitions")),
            (
                "DeregisterJobDefinition",
                self.deregister_definition,
                self._on("job-definition", "jobDefinition")("DeregisterJobDefinition"),
            ),
        ]
        own = [Operation("batch", name, handler, rule) for name, handler, rule in operations]
        return [*own, *self.policies.operations()]

    # Compute environments

    async def create_environment(self, call: Call) -> Document:
        name = call.params["computeEnvironmentName"]
        if call.params["type"] != "MANAGED" or "computeResources" not in call.params:
            raise ClientFault("computeResources of a MANAGED compute environment must be given in this emulator.")
        arn = self._arns.make("compute-environment", name)
        document = {
            "state": "ENABLED",
            **call.params,
            "computeEnvironmentArn": arn,
            "status": "VALID",
            "statusReason": "ComputeEnvironment Healthy",
            "containerOrchestrationType": "ECS",
            "uuid": self._host.new_id(),
            "tags": call.params.get("tags", {}),
        }
        self._insert(ENVIRONMENT, name, document)
        return {"computeEnvironmentName": name, "computeEnvironmentArn": arn}

    async def describe_environments(self, call: Call) -> Document:
        return self._describe(ENVIRONMENT, "compute-environment", "computeEnvironments", call.params)

    async def update_environment(self, call: Call) -> Document:
        name, document = self.environment(call.params["computeEnvironment"])
        changes = {key: value for key, value in call.params.items() if key != "computeEnvironment"}
        changes["computeResources"] = {**document["computeResources"], **changes.get("computeResources", {})}
        self._host.store.put(ENVIRONMENT, name, {**document, **changes})
        self._changed()
        return {"computeEnvironmentName": name, "computeEnvironmentArn": document["computeEnvironmentArn"]}

    async def delete_environment(self, call: Call) -> Document:
        name, document = self.environment(call.params["computeEnvironment"])
        if document["state"] != "DISABLED":
            raise ClientFault("Cannot delete, resource must be disabled first: set state to DISABLED.")
        for queue, held in self._host.store.scan(QUEUE):
            if name in self.environments_of(held):
                raise ClientFault(f"Cannot delete, found existing JobQueue relationship: {queue}")
        self._host.store.delete(ENVIRONMENT, name)
        return {}

    def environment(self, name_or_arn: str) -> tuple[str, Document]:
        name = self._arns.name("compute-environment", name_or_arn)
        return name, self._get(ENVIRONMENT, name, f"{name_or_arn} does not exist")

    # Job queues

    async def create_queue(self, call: Call) -> Document:
        name = call.params["jobQueueName"]
        self._check_order(call.params)
        arn = self._arns.make("job-queue", name)
        document = {
            "state": "ENABLED",
            **call.params,
            "jobQueueArn": arn,
            "status": "VALID",
            "statusReason": "JobQueue Healthy",
            "tags": call.params.get("tags", {}),
        }
        self._insert(QUEUE, name, document)
        return {"jobQueueName": name, "jobQueueArn": arn}

    async def describe_queues(self, call: Call) -> Document:
        return self._describe(QUEUE, "job-queue", "jobQueues", call.params)

    async def update_queue(self, call: Call) -> Document:
        name, document = self.queue(call.params["jobQueue"])
        changes = {key: value for key, value in call.params.items() if key != "jobQueue"}
        if "schedulingPolicyArn" in changes and "schedulingPolicyArn" not in document:
            raise ClientFault("A scheduling policy can't be added to a job queue that was created without one")
        changed = {**document, **changes}
        self._check_order(changed)
        self._host.store.put(QUEUE, name, changed)
        self._changed()
        return {"jobQueueName": name, "jobQueueArn": document["jobQueueArn"]}

    async def delete_queue(self, call: Call) -> Document:
        name, document = self.queue(call.params["jobQueue"])
        if document["state"] != "DISABLED":
            raise ClientFault("Cannot delete, resource must be disabled first: set state to DISABLED.")
        self._host.store.delete(QUEUE, name)
        # Its jobs cannot start any more; the scheduler ends them.
        self._changed()
        return {}

    def queue(self, name_or_arn: str) -> tuple[str, Document]:
        name = self._arns.name("job-queue", name_or_arn)
        return name, self._get(QUEUE, name, f"JobQueue {name_or_arn} not found")

    def queues(self) -> dict[str, Document]:
        """Enabled queues by name, the highest priority first."""
        held = [(name, document) for name, document in self._host.store.scan(QUEUE) if document["state"] == "ENABLED"]
        return dict(sorted(held, key=lambda item: -int(item[1]["priority"])))

    def service_environments_of(self, queue: Document) -> list[str]:
        """Names of the service environments of a queue for training jobs, in order."""
        order = sorted(queue.get("serviceEnvironmentOrder", []), key=lambda entry: int(entry["order"]))
        return [self._arns.name("service-environment", entry["serviceEnvironment"]) for entry in order]

    def environments_of(self, queue: Document) -> list[str]:
        """Names of the queue's compute environments, in order."""
        order = sorted(queue.get("computeEnvironmentOrder", []), key=lambda entry: int(entry["order"]))
        return [self._arns.name("compute-environment", entry["computeEnvironment"]) for entry in order]

    # Job definitions

    async def register_definition(self, call: Call) -> Document:
        name = call.params["jobDefinitionName"]
        if call.params["type"] != "container" or "containerProperties" not in call.params:
            raise ClientFault("Only job definitions of type container with containerProperties are supported here.")
        check_container(call.params["containerProperties"])
        check_retry_and_timeout(call.params)
        revision = 1 + max((held["revision"] for held in self._revisions(name)), default=0)
        key = f"{name}:{revision}"
        arn = self._arns.make("job-definition", key)
        document = {
            **call.params,
            "revision": revision,
            "jobDefinitionArn": arn,
            "status": "ACTIVE",
            "containerOrchestrationType": "ECS",
            "tags": call.params.get("tags", {}),
        }
        self._insert(DEFINITION, key, document)
        return {"jobDefinitionName": name, "jobDefinitionArn": arn, "revision": revision}

    async def describe_definitions(self, call: Call) -> Document:
        params = call.params
        held: Iterable[Document] = (document for _, document in self._host.store.scan(DEFINITION, newest_first=True))
        if "jobDefinitions" in params:
            wanted = {self._arns.name("job-definition", item) for item in params["jobDefinitions"]}
            held = [item for item in held if {_key(item), item["jobDefinitionName"]} & wanted]
        else:
            held = [item for item in held if params.get("status", item["status"]) == item["status"]]
            if "jobDefinitionName" in params:
                wanted = {self._arns.name("job-definition", params["jobDefinitionName"]).partition(":")[0]}
                held = [item for item in held if item["jobDefinitionName"] in wanted]
        page, token = page_of(list(held), params.get("nextToken"), params.get("maxResults", PAGE))
        return {"jobDefinitions": page, "nextToken": token}

    async def deregister_definition(self, call: Call) -> Document:
        key = self._arns.name("job-definition", call.params["jobDefinition"])
        document = self._get(DEFINITION, key, f"Job definition {key} does not exist")
        self._host.store.put(DEFINITION, key, {**document, "status": "INACTIVE"})
        return {}

    def definition(self, name_or_arn: str) -> Document:
        """The active definition: the named revision, or the latest active one of the name."""
        name = self._arns.name("job-definition", name_or_arn)
        if ":" in name:
            document = self._host.store.get(DEFINITION, name)
        else:
            active = [held for held in self._revisions(name) if held["status"] == "ACTIVE"]
            document = max(active, key=lambda held: int(held["revision"]), default=None)
        if document is None or document["status"] != "ACTIVE":
            raise ClientFault(f"JobDefinition {name_or_arn} not found or not active")
        return document

    # Within

    def _revisions(self, name: str) -> list[Document]:
        return [held for _, held in self._host.store.scan(DEFINITION) if held["jobDefinitionName"] == name]

    def _queues_with(self, policy_arn: str) -> list[str]:
        held = self._host.store.scan(QUEUE)
        return [name for name, document in held if document.get("schedulingPolicyArn") == policy_arn]

    def _check_order(self, queue: Document) -> None:
        if queue.get("jobQueueType") == "SAGEMAKER_TRAINING":
            if not queue.get("serviceEnvironmentOrder") or queue.get("computeEnvironmentOrder"):
                raise ClientFault("A queue for SageMaker training jobs has a serviceEnvironmentOrder, and nothing else")
            for name in self.service_environments_of(queue):
                self._get("batch-service-environment", name, f"{name} does not exist")
        order = queue.get("computeEnvironmentOrder")
        if not order and queue.get("jobQueueType") != "SAGEMAKER_TRAINING":
            raise ClientFault("computeEnvironmentOrder must name at least one compute environment")
        for entry in order or []:
            self.environment(entry["computeEnvironment"])
        if arn := queue.get("schedulingPolicyArn"):
            self.policies.get(arn)

    def _describe(self, kind: str, arn_kind: str, member: str, params: Document) -> Document:
        wanted = [self._arns.name(arn_kind, item) for item in params.get(member, [])]
        held = [document for key, document in self._host.store.scan(kind) if not wanted or key in wanted]
        page, token = page_of(held, params.get("nextToken"), params.get("maxResults", PAGE))
        return {member: page, "nextToken": token}

    def _insert(self, kind: str, key: str, document: Document) -> None:
        try:
            self._host.store.insert(kind, key, document)
        except AlreadyThere as error:
            raise ClientFault("Object already exists") from error
        self._changed()

    def _get(self, kind: str, key: str, otherwise: str) -> Document:
        document = self._host.store.get(kind, key)
        if document is None:
            raise ClientFault(otherwise)
        return document

    # Authorization

    def _on(self, kind: str, member: str) -> Callable[[str], Callable[[Document], Authorization]]:
        def for_action(action: str) -> Callable[[Document], Authorization]:
            return lambda params: Authorization(
                f"batch:{action}", (self._arns.make(kind, self._arns.name(kind, params[member])),)
            )

        return for_action

    def _may_create_environment(self, params: Document) -> Authorization:
        arn = self._arns.make("compute-environment", params["computeEnvironmentName"])
        return Authorization(
            "batch:CreateComputeEnvironment", (arn,), _roles(params, "serviceRole", "batch.amazonaws.com")
        )

    def _may_register(self, params: Document) -> Authorization:
        container = params.get("containerProperties", {})
        passed = (*_roles(container, "jobRoleArn", TASKS), *_roles(container, "executionRoleArn", TASKS))
        arn = self._arns.make("job-definition", params["jobDefinitionName"])
        return Authorization("batch:RegisterJobDefinition", (arn,), passed)


def _roles(holder: Document, member: str, service: str) -> tuple[PassRole, ...]:
    return (PassRole(holder[member], service),) if member in holder else ()


def _anywhere(action: str) -> Callable[[Document], Authorization]:
    return lambda _: Authorization(f"batch:{action}")


def _key(definition: Document) -> str:
    return f"{definition['jobDefinitionName']}:{definition['revision']}"
