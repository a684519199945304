"""CloudFormation's `AWS::SecretsManager::Secret`: a secret that the last run's stack made keeps its value.

The journal keeps secrets, but ministack forgets the stack when it dies; the next stack would generate new values over them,
and what was hashed or encrypted with the old ones would be lost.
"""

from __future__ import annotations

from typing import Any

from ministack.services import secretsmanager
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]
Provisioned = tuple[str, dict[str, str]]

_TYPE = "AWS::SecretsManager::Secret"


def install() -> None:
    provided = dict(provisioners._RESOURCE_HANDLERS[_TYPE])

    def create(logical_id: str, properties: Properties, stack: str) -> Provisioned:
        name = str(properties.get("Name", ""))
        found = secretsmanager._secrets.get(name)
        if found is None or found["DeletedDate"]:
            made: Provisioned = provided["create"](logical_id, properties, stack)
            return made
        return name, {"Id": found["ARN"], "Arn": found["ARN"]}

    provisioners._RESOURCE_HANDLERS[_TYPE] = {**provided, "create": create}
