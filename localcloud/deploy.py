"""Builds and deploys the template, starts again what the records say is unfinished, and makes sure that the API answers:
`python -m localcloud.deploy`.

A process of its own, so that boto3 and the build are gone from memory afterwards. It builds while the services still start
and waits for the line `go` before it talks to them. The same steps as `aws cloudformation package` and `deploy`.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud import processes
from localcloud.readiness import NotAnsweringError, await_api, http_get
from localcloud.recovery import Recovery
from localcloud.state import ACCOUNT, AUDIENCE, HOST, REGION, STACK, Settings, StateDir, write_private

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client

logger = logging.getLogger(__name__)

BUCKET = f"{STACK}-deployment-{ACCOUNT}-{REGION}"
POLL_SECONDS = 0.05
DEPLOY_SECONDS = 90.0
WARM = ("api", "authorize", "plan-job")
ANSWERING = ("api", "authorize")
LOGGED_LINES = 40
_ZIP = "deployment.zip"
_AGENT = "agent.zip"


class DeployError(Exception):
    """The stack did not come up; the message has CloudFormation's reasons."""


@dataclass(frozen=True)
class Build:
    """What `python -m infra.build` wrote."""

    directory: Path

    @property
    def template(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.directory / "template.json").read_bytes())
        return document


def build(directory: Path) -> Build:
    """Run the build, which does nothing when its inputs have not changed and lets others wait meanwhile."""
    subprocess.run(processes.module("infra.build", "--out", str(directory)), cwd=processes.PROJECT_ROOT, check=True)
    return Build(directory)


def parameters(settings: Settings, template: dict[str, Any], agent_uri: str) -> dict[str, str]:
    """The stack's parameters on a laptop; of its own, those that the template does not have are left out.

    Raises:
        DeployError: one that the user gave is none of the template's.
    """
    values = {
        "TokenIssuer": settings.issuer_url,
        "TokenAudience": AUDIENCE,
        "JwksUrl": f"{settings.issuer_url}/.well-known/jwks.json",
        "AgentUri": agent_uri,
        "MlflowTrackingUri": settings.mlflow_url,
        "BatchSubnets": "subnet-local",
        "BatchSecurityGroups": "sg-local",
        "BatchV100ImageId": "ami-00000000",
        "DeploymentBucket": BUCKET,
    }
    known = template.get("Parameters", {})
    if unknown := sorted(settings.parameters.keys() - known.keys()):
        raise DeployError(f"the template has no parameter {', '.join(unknown)}")
    return {name: value for name, value in {**values, **settings.parameters}.items() if name in known}


def packaged(template: dict[str, Any], key: str) -> dict[str, Any]:
    """The template with its relative code paths replaced by the uploaded zip, as `cloudformation package` does it."""
    resources = {}
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if properties.get("CodeUri") == _ZIP:
            resource = {**resource, "Properties": {**properties, "CodeUri": {"Bucket": BUCKET, "Key": key}}}
        resources[name] = resource
    return {**template, "Resources": resources}


class Deployer:
    """Talks to the services; clients, clock and sleep are given to it."""

    def __init__(
        self,
        s3: S3Client,
        cloudformation: CloudFormationClient,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._s3 = s3
        self._cloudformation = cloudformation
        self._now = now
        self._sleep = sleep

    def deploy(self, made: Build, settings: Settings) -> dict[str, str]:
        """Create or update the stack; returns its outputs.

        Raises:
            DeployError: it failed. What was created stays, so that nothing of the data is deleted with it.
        """
        self._ensure_bucket()
        key = self._upload(made.directory / _ZIP)
        agent = made.directory / _AGENT
        agent_uri = f"s3://{BUCKET}/{self._upload(agent)}" if agent.exists() else ""
        template = made.template
        body = json.dumps(packaged(template, key)).encode()
        template_key = f"template/{hashlib.sha256(body).hexdigest()[:16]}.json"
        self._s3.put_object(Bucket=BUCKET, Key=template_key, Body=body)
        url = self._s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": template_key})
        values = parameters(settings, template, agent_uri)
        self._apply(url.partition("?")[0], [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()])
        return self._outputs()

    def _ensure_bucket(self) -> None:
        if BUCKET not in {bucket["Name"] for bucket in self._s3.list_buckets()["Buckets"]}:
            self._s3.create_bucket(Bucket=BUCKET)

    def _upload(self, file: Path) -> str:
        """Upload under a name that says what is in it, unless it is there already."""
        body = file.read_bytes()
        key = f"code/{hashlib.sha256(body).hexdigest()}/{file.name}"
        listed = self._s3.list_objects_v2(Bucket=BUCKET, Prefix=key).get("Contents", [])
        if not any(entry["Key"] == key for entry in listed):
            self._s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return key

    def _apply(self, template_url: str, values: Any) -> None:
        arguments: Any = {
            "StackName": STACK,
            "TemplateURL": template_url,
            "Parameters": values,
            "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            "DisableRollback": True,
        }
        if self._status() is None:
            self._cloudformation.create_stack(**arguments)
        else:
            try:
                self._cloudformation.update_stack(**arguments)
            except self._cloudformation.exceptions.ClientError as error:
                if "No updates are to be performed" not in str(error):
                    raise
        self._wait()

    def _status(self) -> str | None:
        try:
            return str(self._cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"])
        except self._cloudformation.exceptions.ClientError as error:
            if "does not exist" not in str(error):
                raise
            return None

    def _wait(self) -> None:
        deadline = self._now() + DEPLOY_SECONDS
        while (status := self._status() or "").endswith("_IN_PROGRESS"):
            if self._now() > deadline:
                raise DeployError(f"the stack was still {status} after {DEPLOY_SECONDS:g} seconds")
            self._sleep(POLL_SECONDS)
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            events = self._cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
            reasons = [
                f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
                for event in events
                if event["ResourceStatus"].endswith("_FAILED")
            ]
            raise DeployError(f"the stack is {status}: " + "; ".join(reasons))

    def _outputs(self) -> dict[str, str]:
        stack = self._cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def tell_deployed(settings: Settings) -> None:
    """Let the AWS services know that all of the template is there, and start workers for what the first request needs."""
    connection = http.client.HTTPConnection(HOST, settings.aws_port, timeout=DEPLOY_SECONDS)
    headers = {"X-Aimatrix-Control": settings.control_secret}
    try:
        for path, body in (("deployed", {}), ("warm", {"functions": [f"{STACK}-{name}" for name in WARM]})):
            connection.request("POST", f"/_aimatrix/{path}", json.dumps(body), headers)
            response = connection.getresponse()
            answer = response.read()
            if response.status != HTTPStatus.OK:
                raise DeployError(f"/_aimatrix/{path} answered {response.status}: {answer.decode(errors='replace')}")
    finally:
        connection.close()


def _own_token(state: StateDir, settings: Settings) -> str:
    # Not before the front door has answered: in a new state directory it is the front door that makes the issuer's key.
    from localcloud.issuer import Issuer

    issuer = Issuer.open(state.part("issuer"), settings.issuer_url)
    return issuer.token("aimatrix-up", ["USER"], "default", [], timedelta(minutes=5), time.time)


def log_functions(logs: CloudWatchLogsClient) -> None:
    """Copy what the API's functions logged last into this process's log: their own logs end with the cloud."""
    for name in ANSWERING:
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{STACK}-{name}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            continue
        for event in events[-LOGGED_LINES:]:
            logger.info("%s: %s", name, event["message"].rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--build", type=Path, help="a finished build; by default the project is built")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    state = StateDir(arguments.state)
    settings = state.load()
    if settings is None:
        parser.error(f"{state.root} holds no settings; `aimatrix up` makes them")
    made = Build(arguments.build) if arguments.build else build(processes.PROJECT_ROOT / "build")

    import boto3

    session = boto3.Session(settings.access_key_id, settings.secret_access_key, region_name=REGION)
    url = settings.aws_url
    deployer = Deployer(session.client("s3", endpoint_url=url), session.client("cloudformation", endpoint_url=url))
    recovery = Recovery(session.client("dynamodb", endpoint_url=url), session.client("stepfunctions", endpoint_url=url))
    if sys.stdin.readline() != "go\n":
        return 1
    started = time.monotonic()
    try:
        outputs = deployer.deploy(made, settings)
    except DeployError as error:
        logger.error("the template could not be deployed: %s", error)  # noqa: TRY400  (the reasons are all in it)
        return 1
    logger.info("deployed in %.2f s", time.monotonic() - started)
    tell_deployed(settings)
    restarted = recovery.restart(outputs)
    logger.info("started %d unfinished executions again", restarted)
    write_private(state.deployment_file, json.dumps({"outputs": outputs}, indent=2).encode())
    try:
        await_api(settings.api_url, lambda: _own_token(state, settings), http_get)
    except NotAnsweringError as error:
        state.deployment_file.unlink()
        log_functions(session.client("logs", endpoint_url=url))
        logger.error("%s; see also %s", error, state.logs / "aws.log")  # noqa: TRY400  (its answer says all)
        return 1
    logger.info("the API answered after %.2f s", time.monotonic() - started)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
