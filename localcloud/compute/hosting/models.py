"""CreateModel, DescribeModel, DeleteModel, ListModels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from localcloud.compute.aws_clients import ObjectError
from localcloud.compute.errors import ValidationFailed
from localcloud.compute.host import Host
from localcloud.compute.hosting.arns import MODEL, already_exists, not_here
from localcloud.compute.hosting.events import model_changed
from localcloud.compute.hosting.records import Records, tags_from
from localcloud.compute.jobs.s3_uri import S3Uri
from localcloud.compute.operations import Authorization, Call, Document, Operation, PassRole

SERVICE = "sagemaker.amazonaws.com"


class Models:
    def __init__(self, host: Host) -> None:
        self._host = host
        self.records = Records(host, MODEL)

    def operations(self) -> Sequence[Operation]:
        return [
            Operation("sagemaker", "CreateModel", self.create, self._may_create),
            Operation("sagemaker", "DescribeModel", self.describe, self._may("DescribeModel")),
            Operation("sagemaker", "DeleteModel", self.delete, self._may("DeleteModel")),
            Operation("sagemaker", "ListModels", self.list_models, lambda _: Authorization("sagemaker:ListModels")),
        ]

    async def create(self, call: Call) -> Document:
        params, now = call.params, self._host.now()
        name = params["ModelName"]
        arn = self.records.arn(name)
        container = container_of(params)
        if self.records.find(name) is not None:
            raise already_exists(MODEL, arn)
        await self._check_data(params["ExecutionRoleArn"], model_data_url(container))
        document = {"name": name, "arn": arn, "created": now, "modified": now, "tags": tags_from(params)}
        document["request"] = {key: value for key, value in params.items() if key != "Tags"}
        self.records.insert(name, document)
        model_changed(self._host, document)
        return {"ModelArn": arn}

    async def describe(self, call: Call) -> Document:
        return described(self.records.get(call.params["ModelName"]))

    async def delete(self, call: Call) -> Document:
        document = self.records.get(call.params["ModelName"])
        self.records.delete(document["name"])
        model_changed(self._host, document)
        return {}

    async def list_models(self, call: Call) -> Document:
        page, token = self.records.page(call.params)
        shown = [{"ModelName": d["name"], "ModelArn": d["arn"], "CreationTime": d["created"]} for d in page]
        return {"Models": shown, "NextToken": token}

    async def _check_data(self, role_arn: str, url: str) -> None:
        """SageMaker looks for the data when the model is created, with the role it is given."""
        source = S3Uri.parse(url)
        keys = await self._host.control.credentials(role_arn, SERVICE, "SageMaker")
        try:
            size = await self._host.blocking.run(self._host.objects(keys).size, source.bucket, source.key)
        except ObjectError as error:
            raise ValidationFailed(f"Could not access model data at {url}. {error.message or error.code}") from error
        if size is None:
            raise ValidationFailed(f"Could not find model data at {url}.")

    def _may(self, operation: str) -> Callable[[Document], Authorization]:
        return lambda params: Authorization(f"sagemaker:{operation}", (self.records.arn(params["ModelName"]),))

    def _may_create(self, params: Document) -> Authorization:
        role = params.get("ExecutionRoleArn")
        return Authorization(
            "sagemaker:CreateModel",
            (self.records.arn(params["ModelName"]),),
            (PassRole(role, SERVICE),) if role else (),
        )


def described(document: Document) -> Document:
    return {"ModelArn": document["arn"], "CreationTime": document["created"], **document["request"]}


def container_of(params: Document) -> Document:
    """The single container of a model.

    Raises:
        ValidationFailed: the request asks for none, or for what one machine does not offer.
    """
    containers: list[Document] = params.get("Containers") or []
    if bool(containers) == ("PrimaryContainer" in params):
        raise ValidationFailed("Exactly one of PrimaryContainer and Containers must be given.")
    container: Document = params.get("PrimaryContainer") or containers[0]
    if len(containers) > 1:
        raise not_here("An inference pipeline of several containers")
    if container.get("Mode") == "MultiModel":
        raise not_here("A multi-model container")
    if "ModelPackageName" in container:
        raise not_here("A model package")
    if "ExecutionRoleArn" not in params:
        raise ValidationFailed("ExecutionRoleArn is missing: it is the role that reads the model data.")
    if not container.get("Image"):
        raise ValidationFailed("Image is missing in the container definition.")
    url = model_data_url(container)
    try:
        key = S3Uri.parse(url).key
    except ValueError as error:
        raise ValidationFailed(f"Invalid ModelDataUrl: {error}") from error
    if not key:
        raise ValidationFailed(f"Invalid ModelDataUrl: {url} names no object")
    return container


def model_data_url(container: Document) -> str:
    source: Any = container.get("ModelDataSource", {}).get("S3DataSource")
    if source is None:
        url = container.get("ModelDataUrl")
    elif source.get("S3DataType") == "S3Object" and source.get("CompressionType") == "Gzip":
        url = source.get("S3Uri")
    else:
        raise not_here("Uncompressed model data (CompressionType None)")
    if not url:
        raise not_here("A container without ModelDataUrl, whose model is in the image,")
    return str(url)
