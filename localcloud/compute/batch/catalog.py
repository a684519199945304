"""Compute environments, job queues and job definitions: the resources jobs refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from localcloud.compute.batch.names import ClientFault
from localcloud.compute.batch.policies import Policies
from localcloud.compute.batch.requests import check_container, check_retry_and_timeout
from localcloud.compute.batch.resources import Resources, anywhere, page
from localcloud.compute.host import Host
from localcloud.compute.operations import Authorization, Call, Document, Operation, PassRole

ENVIRONMENT = "batch-compute-environment"
QUEUE = "batch-job-queue"
DEFINITION = "batch-job-definition"
SERVICE_ENVIRONMENT = "batch-service-environment"
TASKS = "ecs-tasks.amazonaws.com"


class Catalog:
    """`changed` is called when jobs may have become able to start."""

    def __init__(self, host: Host, changed: Callable[[], None]) -> None:
        self._host = host
        self._changed = changed
        self._environments = Resources(host, ENVIRONMENT, "compute-environment")
        self._service_environments = Resources(host, SERVICE_ENVIRONMENT, "service-environment")
        self._queues = Resources(host, QUEUE, "job-queue", "JobQueue {} not found")
        self._definitions = Resources(host, DEFINITION, "job-definition", "Job definition {} does not exist")
        self.policies = Policies(host, self._queues_with, changed)

    def operations(self) -> Sequence[Operation]:
        on_environment = self._environments.authorized
        on_queue = self._queues.authorized
        operations: list[tuple[str, Any, Callable[[Document], Authorization]]] = [
            ("CreateComputeEnvironment", self.create_environment, self._may_create_environment),
            ("DescribeComputeEnvironments", self.describe_environments, anywhere("DescribeComputeEnvironments")),
            (
                "UpdateComputeEnvironment",
                self.update_environment,
                on_environment("UpdateComputeEnvironment", "computeEnvironment"),
            ),
            (
                "DeleteComputeEnvironment",
                self.delete_environment,
                on_environment("DeleteComputeEnvironment", "computeEnvironment"),
            ),
            ("CreateJobQueue", self.create_queue, on_queue("CreateJobQueue", "jobQueueName")),
            ("DescribeJobQueues", self.describe_queues, anywhere("DescribeJobQueues")),
            ("UpdateJobQueue", self.update_queue, on_queue("UpdateJobQueue", "jobQueue")),
            ("DeleteJobQueue", self.delete_queue, on_queue("DeleteJobQueue", "jobQueue")),
            ("RegisterJobDefinition", self.register_definition, self._may_register),
            ("DescribeJobDefinitions", self.describe_definitions, anywhere("DescribeJobDefinitions")),
            (
                "DeregisterJobDefinition",
                self.deregister_definition,
                self._definitions.authorized("DeregisterJobDefinition", "jobDefinition"),
            ),
        ]
        own = [Operation("batch", name, handler, rule) for name, handler, rule in operations]
        return [*own, *self.policies.operations()]

    # Compute environments

    async def create_environment(self, call: Call) -> Document:
        name = call.params["computeEnvironmentName"]
        if call.params["type"] != "MANAGED" or "computeResources" not in call.params:
            raise ClientFault("computeResources of a MANAGED compute environment must be given in this emulator.")
        resources = call.params["computeResources"]
        # https://docs.aws.amazon.com/batch/latest/APIReference/API_ComputeResource.html
        needs_role = resources.get("allocationStrategy", "BEST_FIT") == "BEST_FIT"
        if resources["type"] == "SPOT" and needs_role and "spotIamFleetRole" not in resources:
            raise ClientFault("The specified spotIamFleetRole is null; it is required for SPOT with BEST_FIT.")
        if resources["type"] != "SPOT" and resources.get("allocationStrategy", "").startswith("SPOT_"):
            raise ClientFault(f"Allocation strategy {resources['allocationStrategy']} is for SPOT compute resources.")
        arn = self._environments.arn(name)
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
        self._environments.insert(name, document)
        self._changed()
        return {"computeEnvironmentName": name, "computeEnvironmentArn": arn}

    async def describe_environments(self, call: Call) -> Document:
        return self._environments.describe("computeEnvironments", call.params)

    async def update_environment(self, call: Call) -> Document:
        name, document = self.environment(call.params["computeEnvironment"])
        changes = {key: value for key, value in call.params.items() if key != "computeEnvironment"}
        changes["computeResources"] = {**document["computeResources"], **changes.get("computeResources", {})}
        self._environments.put(name, {**document, **changes})
        self._changed()
        return {"computeEnvironmentName": name, "computeEnvironmentArn": document["computeEnvironmentArn"]}

    async def delete_environment(self, call: Call) -> Document:
        name = self._environments.disabled(call.params["computeEnvironment"])
        for queue, held in self._queues.all():
            if name in self.environments_of(held):
                raise ClientFault(f"Cannot delete, found existing JobQueue relationship: {queue}")
        self._environments.delete(name)
        return {}

    def environment(self, name_or_arn: str) -> tuple[str, Document]:
        return self._environments.get(name_or_arn)

    # Job queues

    async def create_queue(self, call: Call) -> Document:
        name = call.params["jobQueueName"]
        self._check_order(call.params)
        arn = self._queues.arn(name)
        document = {
            "state": "ENABLED",
            **call.params,
            "jobQueueArn": arn,
            "status": "VALID",
            "statusReason": "JobQueue Healthy",
            "tags": call.params.get("tags", {}),
        }
        self._queues.insert(name, document)
        self._changed()
        return {"jobQueueName": name, "jobQueueArn": arn}

    async def describe_queues(self, call: Call) -> Document:
        return self._queues.describe("jobQueues", call.params)

    async def update_queue(self, call: Call) -> Document:
        name, document = self.queue(call.params["jobQueue"])
        changes = {key: value for key, value in call.params.items() if key != "jobQueue"}
        if "schedulingPolicyArn" in changes and "schedulingPolicyArn" not in document:
            raise ClientFault("A scheduling policy can't be added to a job queue that was created without one")
        changed = {**document, **changes}
        self._check_order(changed)
        self._queues.put(name, changed)
        self._changed()
        return {"jobQueueName": name, "jobQueueArn": document["jobQueueArn"]}

    async def delete_queue(self, call: Call) -> Document:
        self._queues.delete(self._queues.disabled(call.params["jobQueue"]))
        # Its jobs cannot start any more; the scheduler ends them.
        self._changed()
        return {}

    def queue(self, name_or_arn: str) -> tuple[str, Document]:
        return self._queues.get(name_or_arn)

    def queues(self) -> dict[str, Document]:
        """Enabled queues by name, the highest priority first."""
        held = [(name, document) for name, document in self._queues.all() if document["state"] == "ENABLED"]
        return dict(sorted(held, key=lambda item: -int(item[1]["priority"])))

    def service_environments_of(self, queue: Document) -> list[str]:
        """Names of the service environments of a queue for training jobs, in order."""
        order = sorted(queue.get("serviceEnvironmentOrder", []), key=lambda entry: int(entry["order"]))
        return [self._service_environments.name(entry["serviceEnvironment"]) for entry in order]

    def environments_of(self, queue: Document) -> list[str]:
        """Names of the queue's compute environments, in order."""
        order = sorted(queue.get("computeEnvironmentOrder", []), key=lambda entry: int(entry["order"]))
        return [self._environments.name(entry["computeEnvironment"]) for entry in order]

    # Job definitions

    async def register_definition(self, call: Call) -> Document:
        name = call.params["jobDefinitionName"]
        if call.params["type"] != "container" or "containerProperties" not in call.params:
            raise ClientFault("Only job definitions of type container with containerProperties are supported here.")
        check_container(call.params["containerProperties"])
        check_retry_and_timeout(call.params)
        revision = 1 + max((held["revision"] for held in self._revisions(name)), default=0)
        key = f"{name}:{revision}"
        arn = self._definitions.arn(key)
        document = {
            **call.params,
            "revision": revision,
            "jobDefinitionArn": arn,
            "status": "ACTIVE",
            "containerOrchestrationType": "ECS",
            "tags": call.params.get("tags", {}),
        }
        self._definitions.insert(key, document)
        self._changed()
        return {"jobDefinitionName": name, "jobDefinitionArn": arn, "revision": revision}

    async def describe_definitions(self, call: Call) -> Document:
        params = call.params
        held: Iterable[Document] = (document for _, document in self._host.store.scan(DEFINITION, newest_first=True))
        if "jobDefinitions" in params:
            wanted = {self._definitions.name(item) for item in params["jobDefinitions"]}
            held = [item for item in held if {_key(item), item["jobDefinitionName"]} & wanted]
        else:
            held = [item for item in held if params.get("status", item["status"]) == item["status"]]
            if "jobDefinitionName" in params:
                wanted = {self._definitions.name(params["jobDefinitionName"]).partition(":")[0]}
                held = [item for item in held if item["jobDefinitionName"] in wanted]
        return page("jobDefinitions", list(held), params)

    async def deregister_definition(self, call: Call) -> Document:
        key, document = self._definitions.get(call.params["jobDefinition"])
        self._definitions.put(key, {**document, "status": "INACTIVE"})
        return {}

    def definition(self, name_or_arn: str) -> Document:
        """The active definition: the named revision, or the latest active one of the name."""
        name = self._definitions.name(name_or_arn)
        if ":" in name:
            document = self._definitions.find(name)
        else:
            active = [held for held in self._revisions(name) if held["status"] == "ACTIVE"]
            document = max(active, key=lambda held: int(held["revision"]), default=None)
        if document is None or document["status"] != "ACTIVE":
            raise ClientFault(f"JobDefinition {name_or_arn} not found or not active")
        return document

    # Within

    def _revisions(self, name: str) -> list[Document]:
        return [held for _, held in self._definitions.all() if held["jobDefinitionName"] == name]

    def _queues_with(self, policy_arn: str) -> list[str]:
        return [name for name, held in self._queues.all() if held.get("schedulingPolicyArn") == policy_arn]

    def _check_order(self, queue: Document) -> None:
        if queue.get("jobQueueType") == "SAGEMAKER_TRAINING":
            if not queue.get("serviceEnvironmentOrder") or queue.get("computeEnvironmentOrder"):
                raise ClientFault("A queue for SageMaker training jobs has a serviceEnvironmentOrder, and nothing else")
            for name in self.service_environments_of(queue):
                self._service_environments.get(name)
        order = queue.get("computeEnvironmentOrder")
        if not order and queue.get("jobQueueType") != "SAGEMAKER_TRAINING":
            raise ClientFault("computeEnvironmentOrder must name at least one compute environment")
        for entry in order or []:
            self.environment(entry["computeEnvironment"])
        if arn := queue.get("schedulingPolicyArn"):
            self.policies.get(arn)

    # Authorization

    def _may_create_environment(self, params: Document) -> Authorization:
        arn = self._environments.arn(params["computeEnvironmentName"])
        return Authorization(
            "batch:CreateComputeEnvironment", (arn,), _roles(params, "serviceRole", "batch.amazonaws.com")
        )

    def _may_register(self, params: Document) -> Authorization:
        container = params.get("containerProperties", {})
        passed = (*_roles(container, "jobRoleArn", TASKS), *_roles(container, "executionRoleArn", TASKS))
        arn = self._definitions.arn(params["jobDefinitionName"])
        return Authorization("batch:RegisterJobDefinition", (arn,), passed)


def _roles(holder: Document, member: str, service: str) -> tuple[PassRole, ...]:
    return (PassRole(holder[member], service),) if member in holder else ()


def _key(definition: Document) -> str:
    return f"{definition['jobDefinitionName']}:{definition['revision']}"
