"""Deploy to an AWS account: `python -m infra.deploy --stack NAME --bucket BUCKET --parameter TokenIssuer=... ...`.

Build, put the agent into the bucket, `aws cloudformation package` (uploads the code), `aws cloudformation deploy`. All by
the aws command line with argument lists, so whatever credentials and profiles it has are the ones used; docs/template.md
tells what they must allow.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra import build
from infra.build import Build
from infra.package import content_key
from infra.parameters import PARAMETERS

CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND")
"""The template makes roles, and is expanded by the SAM transform."""

_AGENT_PREFIX, _CODE_PREFIX = "aimatrix/agent/", "aimatrix/code"
# What this program finds out by itself.
_DERIVED = ("AgentUri", "DeploymentBucket", "MlflowTrackingServerArn")

# The longest name made from it is the bucket's, of at most 63 characters, all lower case:
# <stack>-artifacts-<12 digits>-<region, 14 at most>.
_STACK_NAME = re.compile(r"[a-z][a-z0-9-]{0,24}")

Run = Callable[[Sequence[str]], str]


class DeployError(Exception):
    """The deployment was not begun, or a command of it failed."""


@dataclass(frozen=True)
class Deployment:
    """What to deploy where.

    Attributes:
        stack: the stack's name, and the beginning of every physical name.
        bucket: an existing bucket in the same region, for code and agent.
        parameters: of the template, by name, without those that are derived.
        options: of the aws command line, such as `--region eu-west-1`.
    """

    stack: str
    bucket: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()


def deploy(what: Deployment, built: Build, run: Run) -> dict[str, str]:
    """Bring a build into an account.

    Args:
        run: carries out a command given as an argument list and returns what it printed; raises DeployError.

    Returns:
        The stack's outputs.
    """
    agent_key = content_key(built.agent, _AGENT_PREFIX)
    agent_uri = f"s3://{what.bucket}/{agent_key}"
    parameters = complete(what, agent_uri)
    aws = ["aws", *what.options]
    packaged = built.folder / "packaged.json"
    run([*aws, "s3", "cp", "--only-show-errors", str(built.agent), agent_uri])
    where = ["--s3-bucket", what.bucket, "--s3-prefix", _CODE_PREFIX]
    cloudformation = [*aws, "cloudformation"]
    run(
        [
            *cloudformation,
            "package",
            "--template-file",
            str(built.template),
            *where,
            "--use-json",
            "--output-template-file",
            str(packaged),
        ]
    )
    overrides = [f"{name}={value}" for name, value in sorted(parameters.items())]
    options = ["--capabilities", *CAPABILITIES, "--no-fail-on-empty-changeset", "--parameter-overrides", *overrides]
    run([*cloudformation, "deploy", "--template-file", str(packaged), "--stack-name", what.stack, *where, *options])
    described = run([*cloudformation, "describe-stacks", "--stack-name", what.stack, "--output", "json"])
    outputs = json.loads(described)["Stacks"][0].get("Outputs", [])
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def complete(what: Deployment, agent_uri: str) -> dict[str, str]:
    """All parameters to pass: those given, and those that follow from them.

    Raises:
        DeployError: one is unknown, derived, or missing; or the stack's name cannot begin a bucket's.
    """
    if not _STACK_NAME.fullmatch(what.stack):
        raise DeployError(f"--stack {what.stack}: at most 25 lower case letters, digits and hyphens, a letter first")
    settable = sorted(PARAMETERS.keys() - set(_DERIVED))
    for name in what.parameters:
        if name not in settable:
            raise DeployError(
                f"--parameter {name}: there is none of this name to set; these are: {', '.join(settable)}"
            )
    needed = [name for name in settable if "Default" not in PARAMETERS[name] and name not in what.parameters]
    if needed:
        raise DeployError(f"missing: {' '.join(f'--parameter {name}=...' for name in needed)}")
    if what.parameters.get("BatchSubnets") and not what.parameters.get("BatchSecurityGroups"):
        raise DeployError("missing: --parameter BatchSecurityGroups=... (BatchSubnets is given)")
    tracking = what.parameters["MlflowTrackingUri"]
    derived = {
        "AgentUri": agent_uri,
        "DeploymentBucket": what.bucket,
        "MlflowTrackingServerArn": tracking if tracking.startswith("arn:") else "",
    }
    return {**what.parameters, **derived}


def run_command(arguments: Sequence[str]) -> str:
    """Carry out a command, showing it and its errors."""
    print("deploy:", " ".join(arguments[:4]), "...", flush=True)
    try:
        result = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError:
        raise DeployError("the aws command line is not installed: https://docs.aws.amazon.com/cli/") from None
    if result.returncode != 0:
        raise DeployError(f"{' '.join(arguments[:4])} failed with exit code {result.returncode}")
    return result.stdout


def _arguments(argv: list[str] | None) -> tuple[Deployment, Path]:
    parser = argparse.ArgumentParser(description="Deploy to an AWS account.")
    parser.add_argument("--stack", required=True, help="name of the stack; every resource's name begins with it")
    parser.add_argument("--bucket", required=True, help="existing bucket in the same region, for code and agent")
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="of the template; repeatable"
    )
    parser.add_argument("--region", help="AWS region (default: the aws command line's)")
    parser.add_argument("--profile", help="profile of the aws command line")
    parser.add_argument(
        "--out", type=Path, default=build.PROJECT / "build", help="folder to build into (default: build)"
    )
    given = parser.parse_args(argv)
    parameters = {}
    for pair in given.parameter:
        name, equals, value = pair.partition("=")
        if not equals:
            parser.error(f"--parameter {pair}: write NAME=VALUE")
        parameters[name] = value
    options: list[str] = []
    for name in ("region", "profile"):
        if value := getattr(given, name):
            options += [f"--{name}", value]
    return Deployment(given.stack, given.bucket, parameters, tuple(options)), given.out.resolve()


def main(argv: list[str] | None = None) -> int:
    what, out = _arguments(argv)
    try:
        # Before the build: a missing parameter should not cost its time.
        complete(what, agent_uri="")
        built = build.build(out, say=lambda line: print(f"build: {line}", flush=True))
        outputs = deploy(what, built, run_command)
    except (DeployError, build.BuildError) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    print(json.dumps(outputs, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
