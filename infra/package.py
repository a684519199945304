"""Point a template at code that lies in a bucket: what `aws cloudformation package` does, as a function.

Both deployments use the outcome: AWS's CloudFormation and the embedded one get the same template.
"""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

from infra.names import Json


def packaged(template: Json, bucket: str, key: str) -> Json:
    """A copy of `template` in which every function's code is the object `key` of `bucket`."""
    result = copy.deepcopy(template)
    for resource in result["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": bucket, "Key": key}
    return result


def content_key(path: Path, prefix: str = "") -> str:
    """The key to upload a file under: named by its content, so that another content is another object.

    CloudFormation only looks at a function's code when its key changes, and a job that runs keeps the agent it began with.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    return f"{prefix}{path.stem}-{digest}{path.suffix}"
