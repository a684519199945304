"""Our rules about machines, and the check of their calls: the shipped ones pass, and each mistake is found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from infra import integrations, machine_rules, machines, names

Definition = dict[str, Any]
Change = Callable[[Definition], object]


def train_job(change: Change) -> Definition:
    """The states of a copy of train_job, changed."""
    definition = copy.deepcopy(machines.definition("train-job"))
    change(definition["States"])
    return definition


def task(**changes: Any) -> Definition:
    return {"StartAt": "Call", "States": {"Call": {"Type": "Task", "End": True, **changes}}}


class TestShippedMachines:
    @pytest.mark.parametrize("machine", names.MACHINES)
    def test_keep_our_rules(self, machine: str) -> None:
        assert machine_rules.problems(machine, machines.definition(machine)) == []

    @pytest.mark.parametrize("machine", names.MACHINES)
    def test_make_calls_that_botocore_knows(self, machine: str) -> None:
        assert integrations.problems(machine, machines.definition(machine)) == []

    @pytest.mark.parametrize("machine", names.MACHINES)
    def test_call_exactly_the_functions_that_their_role_allows(self, machine: str) -> None:
        text = machines.definition_path(machine).read_text(encoding="utf-8")
        for function in names.FUNCTIONS:
            is_allowed = function.name in machines.FUNCTIONS_OF[machine]
            assert (f"${{{function.logical_id}}}" in text) == is_allowed, function.name


class TestMachineRules:
    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            (lambda s: s["Plan"].pop("TimeoutSeconds"), "Plan has no explicit timeout"),
            (lambda s: s["Plan"].pop("Comment"), "Plan does not say why it exists"),
            (lambda s: s["Plan"].pop("Retry"), "Plan never retries"),
            (lambda s: s["Plan"].pop("Catch"), "Plan lets an error end the machine"),
            (lambda s: s["Plan"]["Catch"][0].update(ErrorEquals=["Lambda.Unknown"]), "Plan lets an error end"),
            (lambda s: s["Plan"]["Retry"][0].pop("MaxDelaySeconds"), "a retry without MaxDelaySeconds"),
            (lambda s: s["Plan"]["Retry"][0].update(JitterStrategy="NONE"), "retries in step"),
            (lambda s: s["FinishJob"]["Retry"][0].update(MaxAttempts=3), "FinishJob gives up after"),
            (lambda s: s.update(Lost={"Type": "Succeed", "Comment": "x"}), "Lost ends the machine without FinishJob"),
            (lambda s: s["RegisterModel"].update(Next="Plan", Catch=[]), "RegisterModel lets an error end"),
            (lambda s: s.update(Lone={"Type": "Pass", "Comment": "x", "Next": "FinishJob"}), "Lone is never reached"),
            (lambda s: s["WaitToRetry"].update(Next="WaitToRetry"), "FinishJob cannot be reached from WaitToRetry"),
        ],
    )
    def test_find(self, change: Change, complaint: str) -> None:
        assert any(complaint in problem for problem in machine_rules.problems("train-job", train_job(change)))

    def test_find_a_timeout_for_the_whole_machine(self) -> None:
        definition = {**machines.definition("train-job"), "TimeoutSeconds": 60}
        assert any("timeout for the whole" in problem for problem in machine_rules.problems("train-job", definition))

    def test_find_another_query_language(self) -> None:
        definition = {**machines.definition("train-job"), "QueryLanguage": "JSONPath"}
        assert any("JSONata" in problem for problem in machine_rules.problems("train-job", definition))


class TestIntegrations:
    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            (lambda a: a.pop("RoleArn"), "Arguments lacks RoleArn"),
            (lambda a: a.update(Rolearn="x"), "has no member Rolearn"),
            (lambda a: a["ResourceConfig"].update(InstanceCount="one"), "InstanceCount is 'one', not a integer"),
            (lambda a: a["ResourceConfig"].update(InstanceCount=True), "InstanceCount is True, not a integer"),
            (lambda a: a["ResourceConfig"].update(Size=1), "ResourceConfig has no member Size"),
            (lambda a: a["AlgorithmSpecification"].update(TrainingInputMode="Pipes"), "not one of Pipe, File"),
            (lambda a: a.update(StoppingCondition="soon"), "StoppingCondition is 'soon', not an object"),
            (lambda a: a.update(Tags=[{"Key": "a"}]), "Tags[0] lacks Value"),
            (lambda a: a.update(Environment={"A": 1}), "Environment.A is 1, not a string"),
            (lambda a: a.update(Tags="{% $t.{'Key': k, 'Velue': v} %}"), "constructs Velue"),
        ],
    )
    def test_find_a_wrong_argument(self, change: Change, complaint: str) -> None:
        definition = train_job(lambda states: change(states["TrainOnSageMaker"]["Arguments"]))
        assert any(complaint in problem for problem in integrations.problems("train-job", definition))

    @pytest.mark.parametrize(
        ("resource", "complaint"),
        [
            ("arn:aws:states:::aws-sdk:sagemaker:deleteEndpoints", "no operation DeleteEndpoints"),
            ("arn:aws:states:::aws-sdk:sagemakr:deleteEndpoint", "no operation DeleteEndpoint"),
            ("arn:aws:states:::sagemaker:deleteEndpoint", "no optimized integration"),
            ("arn:aws:states:::sagemaker:createEndpoint.sync", "no optimized integration"),
            ("arn:aws:lambda:us-east-1:123456789012:function:f", "no service integration"),
        ],
    )
    def test_find_a_wrong_resource(self, resource: str, complaint: str) -> None:
        found = integrations.problems("train-job", task(Resource=resource, Arguments={}))
        assert any(complaint in problem for problem in found)

    def test_finds_a_function_that_the_machine_may_not_call(self) -> None:
        arguments = {"FunctionName": "${SmokeTest}", "Payload": {}}
        found = integrations.problems("train-job", task(Resource="arn:aws:states:::lambda:invoke", Arguments=arguments))
        assert any("may not call" in problem for problem in found)

    def test_wants_batch_members_capitalised(self) -> None:
        definition = train_job(lambda states: states["TrainOnBatch"]["Arguments"].update(jobName="x"))
        assert any("no member jobName" in problem for problem in integrations.problems("train-job", definition))
