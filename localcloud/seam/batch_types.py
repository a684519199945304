"""CloudFormation's `AWS::Batch::*` types, which ministack lacks: each calls the compute emulator's Batch API.

The emulator remembers its resources, ministack forgets the stack when it dies. So creating what is there already means to
bring it up to date.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services.cloudformation import provisioners, stacks

from localcloud.seam.batch_shapes import from_template
from localcloud.seam.compute_client import ComputeClient, ComputeError, Keys

Properties = dict[str, Any]
Provisioned = tuple[str, dict[str, str]]

_PREFIX = "AWS::Batch::"


def install(compute: ComputeClient, root: Keys) -> None:
    """Register the types, and let them run beside the event loop: the emulator asks this process who may do what."""
    types = _BatchTypes(compute, root)
    handlers = provisioners._RESOURCE_HANDLERS
    for name, create, delete in (
        ("SchedulingPolicy", types.scheduling_policy, types.delete_scheduling_policy),
        ("ComputeEnvironment", types.compute_environment, types.delete_compute_environment),
        ("JobQueue", types.job_queue, types.delete_job_queue),
        ("JobDefinition", types.job_definition, types.delete_job_definition),
    ):
        handlers[_PREFIX + name] = {
            "create": create,
            "update": _update(create),
            "delete": delete,
            "update_with_logical_id": True,
        }
    provided = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda resource_type: resource_type.startswith(_PREFIX) or provided(resource_type)


def _update(create: Callable[[str, Properties, str], Provisioned]) -> Callable[..., Provisioned]:
    def update(_physical: str, _old: Properties, new: Properties, stack: str, logical_id: str) -> Provisioned:
        return create(logical_id, new, stack)

    return update


class _BatchTypes:
    def __init__(self, compute: ComputeClient, root: Keys) -> None:
        self._compute = compute
        self._root = root

    def scheduling_policy(self, logical_id: str, properties: Properties, stack: str) -> Provisioned:
        name = properties.get("Name", f"{stack}-{logical_id}")
        try:
            arn = self._call("CreateSchedulingPolicy", {**properties, "Name": name})["arn"]
        except ComputeError as error:
            if "already exists" not in str(error).lower():
                raise
            found = self._call("ListSchedulingPolicies", {})["schedulingPolicies"]
            (arn,) = (each["arn"] for each in found if each["arn"].endswith(f"/{name}"))
            self._call("UpdateSchedulingPolicy", {**properties, "arn": arn})
        return arn, {"Arn": arn}

    def compute_environment(self, logical_id: str, properties: Properties, stack: str) -> Provisioned:
        name = properties.get("ComputeEnvironmentName", f"{stack}-{logical_id}")
        arn = self._ensure("ComputeEnvironment", name, properties)["computeEnvironmentArn"]
        return arn, {"ComputeEnvironmentArn": arn}

    def job_queue(self, logical_id: str, properties: Properties, stack: str) -> Provisioned:
        name = properties.get("JobQueueName", f"{stack}-{logical_id}")
        arn = self._ensure("JobQueue", name, properties)["jobQueueArn"]
        return arn, {"JobQueueArn": arn}

    def job_definition(self, logical_id: str, properties: Properties, stack: str) -> Provisioned:
        arguments = {"JobDefinitionName": f"{stack}-{logical_id}", **properties}
        arn = self._call("RegisterJobDefinition", arguments)["jobDefinitionArn"]
        return arn, {"JobDefinitionArn": arn}

    def delete_scheduling_policy(self, physical_id: str, _properties: Properties) -> None:
        self._call("DeleteSchedulingPolicy", {"arn": physical_id})

    def delete_compute_environment(self, physical_id: str, _properties: Properties) -> None:
        self._call("UpdateComputeEnvironment", {"computeEnvironment": physical_id, "state": "DISABLED"})
        self._call("DeleteComputeEnvironment", {"computeEnvironment": physical_id})

    def delete_job_queue(self, physical_id: str, _properties: Properties) -> None:
        self._call("UpdateJobQueue", {"jobQueue": physical_id, "state": "DISABLED"})
        self._call("DeleteJobQueue", {"jobQueue": physical_id})

    def delete_job_definition(self, physical_id: str, _properties: Properties) -> None:
        self._call("DeregisterJobDefinition", {"jobDefinition": physical_id})

    def _ensure(self, kind: str, name: str, properties: Properties) -> dict[str, Any]:
        try:
            return self._call(f"Create{kind}", {**properties, f"{kind}Name": name})
        except ComputeError as error:
            if "already exists" not in str(error).lower():
                raise
        return self._call(f"Update{kind}", {**properties, kind: name})

    def _call(self, action: str, arguments: Properties) -> dict[str, Any]:
        return self._compute.batch(action, from_template(action, arguments), self._root)
