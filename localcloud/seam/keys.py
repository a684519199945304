"""CloudFormation's `AWS::KMS::Key`: a key that the last run's stack made is found again, not made anew.

The journal keeps keys, but ministack forgets the stack when it dies, and a key has no name by which the next stack could
find it. So each key carries what AWS itself puts on it: the tags `aws:cloudformation:stack-name` and `logical-id`. What was
sealed or encrypted before a restart stays readable after it.
"""

from __future__ import annotations

from typing import Any

from ministack.services import kms
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]
Provisioned = tuple[str, dict[str, str]]

_TYPE = "AWS::KMS::Key"
_STACK, _LOGICAL_ID = "aws:cloudformation:stack-name", "aws:cloudformation:logical-id"


def install() -> None:
    provided = dict(provisioners._RESOURCE_HANDLERS[_TYPE])

    def create(logical_id: str, properties: Properties, stack: str) -> Provisioned:
        found = _of_stack(stack, logical_id)
        if found is None:
            made: Provisioned = provided["create"](logical_id, properties, stack)
        else:
            made = provided["update"](found["KeyId"], properties, properties, stack)
        _mark(made[0], stack, logical_id)
        return made

    def update(physical_id: str, old: Properties, new: Properties, stack: str) -> Provisioned:
        marks = [tag for tag in kms._resolve_key(physical_id)["Tags"] if tag["TagKey"] in {_STACK, _LOGICAL_ID}]
        made: Provisioned = provided["update"](physical_id, old, new, stack)
        kms._resolve_key(made[0])["Tags"].extend(marks)
        return made

    provisioners._RESOURCE_HANDLERS[_TYPE] = {**provided, "create": create, "update": update}


def _of_stack(stack: str, logical_id: str) -> dict[str, Any] | None:
    """The key that this stack made under this id in an earlier run; one that waits for its deletion is none."""
    wanted = {_STACK: stack, _LOGICAL_ID: logical_id}
    for key_id in kms._keys:
        record: dict[str, Any] = kms._keys[key_id]
        tags = {tag["TagKey"]: tag["TagValue"] for tag in record.get("Tags", [])}
        if record["KeyState"] != "PendingDeletion" and wanted.items() <= tags.items():
            return record
    return None


def _mark(key_id: str, stack: str, logical_id: str) -> None:
    marks = {_STACK: stack, _LOGICAL_ID: logical_id}
    kms._resolve_key(key_id)["Tags"].extend({"TagKey": name, "TagValue": value} for name, value in marks.items())
