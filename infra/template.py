"""The template: every fragment, merged into one, and into what Chalice makes of app.py.

What Chalice is given to merge (`additions`) names Chalice's own functions and API to complete them; everything else is new.
A fragment that redefines another's resource is a mistake and refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra import (
    alarms,
    api,
    batch,
    bus,
    dead_letters,
    event_queues,
    events,
    functions,
    keys,
    logs,
    machines,
    notifications,
    secrets,
    storage,
    streams,
    tables,
    training,
)
from infra.names import Json
from infra.parameters import CONDITIONS, PARAMETERS

FRAGMENTS = (
    api,
    functions,
    tables,
    keys,
    secrets,
    storage,
    bus,
    logs,
    machines,
    training,
    batch,
    events,
    alarms,
    streams,
    dead_letters,
    notifications,
    event_queues,
)
DESCRIPTION = "AI model training as a service: from a training script to a served model"

LARGEST_TEMPLATE = 1_000_000
"""Bytes that CloudFormation accepts from S3 (service quotas: template body size in an S3 object)."""


class TemplateError(Exception):
    """The fragments, or what Chalice made, do not fit together."""


def additions() -> Json:
    """All fragments as one template, for `chalice package --merge-template`."""
    template: Json = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": DESCRIPTION,
        "Parameters": PARAMETERS,
        "Conditions": CONDITIONS,
        "Resources": {},
        "Outputs": {},
    }
    for fragment in FRAGMENTS:
        for section, entries in fragment.fragment().items():
            _add(template[section], entries, section)
    return template


def completed(packaged: Json) -> Json:
    """What Chalice packaged, made ready: one code file, our outputs only.

    Raises:
        TemplateError: a fragment speaks of a function that app.py does not have, or app.py has one that no fragment knows.
    """
    unknown = [name for name, resource in packaged["Resources"].items() if "Type" not in resource]
    if unknown:
        raise TemplateError(
            f"app.py has no function or API for these parts of the template: {', '.join(sorted(unknown))}"
        )
    expected = functions.fragment()["Resources"]
    made = list(_of_type(packaged, "AWS::Serverless::Function"))
    if surplus := sorted(set(made) - set(expected)):
        raise TemplateError(
            f"app.py has functions without permissions or settings: {', '.join(surplus)}; see infra/names.py"
        )
    for logical_id in made:
        packaged["Resources"][logical_id]["Properties"]["CodeUri"] = "deployment.zip"
    outputs = additions()["Outputs"]
    return {**packaged, "Outputs": {name: packaged["Outputs"][name] for name in outputs}}


def _add(section: Json, entries: Json, what: str) -> None:
    if repeated := sorted(set(section) & set(entries)):
        raise TemplateError(f"two fragments define {what} {', '.join(repeated)}")
    section.update(entries)


def _of_type(template: Json, kind: str) -> Iterable[str]:
    resources: dict[str, dict[str, Any]] = template["Resources"]
    return (logical_id for logical_id, resource in resources.items() if resource["Type"] == kind)
