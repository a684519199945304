"""A small template with one of each thing the embedded cloud has to serve, so that these tests need no build."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

Json = dict[str, Any]

CODE = '''
import importlib.util
import json
import os

import boto3


def put(event, context):
    """Puts an item; answers what else this process could see."""
    body = json.loads(event.get("body") or "{}")
    print(json.dumps({"put": body}))
    boto3.client("dynamodb").put_item(TableName=os.environ["TABLE"], Item={"id": {"S": body["id"]}})
    seen = [name for name in ("localcloud", "pydantic", "mlflow", "jwt") if importlib.util.find_spec(name)]
    return {"statusCode": 201, "headers": {}, "body": json.dumps({"seen": seen, "environment": sorted(os.environ)})}


def silent(event, context):
    return event


def answer(event, context):
    return {"statusCode": 200, "headers": {}, "body": "{}"}


def fail(event, context):
    raise LookupError("nothing there")


def forbidden(event, context):
    boto3.client("dynamodb").delete_table(TableName=os.environ["TABLE"])
'''


def write(directory: Path, *, answering: bool = True) -> Path:
    """Write a finished build of the template; returns its directory.

    Args:
        answering: whether its API answers what the embedded cloud asks before it says that it is ready.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(directory / "deployment.zip", "w") as archive:
        archive.writestr("index.py", CODE)
    (directory / "agent.zip").write_bytes(b"an agent")
    (directory / "template.json").write_text(json.dumps(template("Answer" if answering else "Fail")))
    return directory


def template(first: str = "Answer") -> Json:
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Parameters": {"BatchSubnets": {"Type": "CommaDelimitedList"}, "TokenIssuer": {"Type": "String"}},
        "Resources": {
            "Table": _table(),
            "Bucket": {
                "Type": "AWS::S3::Bucket",
                "Properties": {
                    "BucketName": {"Fn::Sub": "${AWS::StackName}-objects"},
                    "VersioningConfiguration": {"Status": "Enabled"},
                },
            },
            "Key": {
                "Type": "AWS::KMS::Key",
                "Properties": {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"},
            },
            "Secret": {
                "Type": "AWS::SecretsManager::Secret",
                "Properties": {"Name": "tiny", "GenerateSecretString": {"PasswordLength": 64}},
            },
            "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": "tiny"}},
            "Archive": {
                "Type": "AWS::Events::Archive",
                "Properties": {"SourceArn": {"Fn::GetAtt": ["Bus", "Arn"]}, "RetentionDays": 1},
            },
            "JobLogs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/aws/sagemaker/TrainingJobs"}},
            "BatchLogs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/tiny/batch"}},
            "FunctionRole": _role("lambda.amazonaws.com", _allow("dynamodb:PutItem", {"Fn::GetAtt": ["Table", "Arn"]})),
            **{name.title(): _function(name) for name in ("put", "silent", "answer", "fail", "forbidden")},
            "Api": _api(first),
            "ApiMayPut": _api_may_call("Put"),
            "ApiMayAnswer": _api_may_call(first),
            "TrainingRole": _role("sagemaker.amazonaws.com", _allow("s3:PutObject", "*")),
            "MachineRole": _role(
                "states.amazonaws.com",
                _allow("lambda:InvokeFunction", "*"),
                _allow("sagemaker:CreateTrainingJob", {"Fn::Sub": f"{_TRAINING_JOBS}/allowed-*"}),
                _allow("sagemaker:StopTrainingJob", {"Fn::Sub": f"{_TRAINING_JOBS}/allowed-*"}),
                _allow("iam:PassRole", {"Fn::GetAtt": ["TrainingRole", "Arn"]}),
                _allow("batch:SubmitJob", "*"),
                _allow("batch:TerminateJob", "*"),
            ),
            "BatchRole": _role("ecs-tasks.amazonaws.com", _allow("logs:PutLogEvents", "*")),
            "Environment": {
                "Type": "AWS::Batch::ComputeEnvironment",
                "Properties": {
                    "ComputeEnvironmentName": "tiny",
                    "Type": "MANAGED",
                    "State": "ENABLED",
                    # Properties of the type that its Create call does not have.
                    "ReplaceComputeEnvironment": False,
                    "UpdatePolicy": {"TerminateJobsOnUpdate": False},
                    "ComputeResources": {
                        "Type": "EC2",
                        "MinvCpus": 0,
                        "MaxvCpus": 4,
                        "InstanceTypes": ["m5"],
                        "Subnets": {"Ref": "BatchSubnets"},
                        "SecurityGroupIds": ["sg-local"],
                        "InstanceRole": "arn:aws:iam::000000000000:instance-profile/tiny",
                    },
                },
            },
            "Queue": {
                "Type": "AWS::Batch::JobQueue",
                "Properties": {
                    "JobQueueName": "tiny",
                    "Priority": 1,
                    "ComputeEnvironmentOrder": [{"Order": 1, "ComputeEnvironment": {"Ref": "Environment"}}],
                },
            },
            "Definition": _job_definition(),
            "Train": _machine("train", _train()),
            "Submit": _machine("submit", _submit()),
            "Call": _machine("call", _call()),
        },
        "Outputs": {
            "RestApiId": {"Value": {"Ref": "Api"}},
            "Table": {"Value": {"Ref": "Table"}},
            "Bucket": {"Value": {"Ref": "Bucket"}},
            "Key": {"Value": {"Fn::GetAtt": ["Key", "Arn"]}},
            "Archive": {"Value": {"Fn::GetAtt": ["Archive", "Arn"]}},
            "Bus": {"Value": {"Fn::GetAtt": ["Bus", "Arn"]}},
            "Secret": {"Value": {"Fn::GetAtt": ["Secret", "Id"]}},
            "Queue": {"Value": {"Fn::GetAtt": ["Queue", "JobQueueArn"]}},
            "Definition": {"Value": {"Ref": "Definition"}},
            "TrainingRole": {"Value": {"Fn::GetAtt": ["TrainingRole", "Arn"]}},
            "Train": {"Value": {"Ref": "Train"}},
            "Submit": {"Value": {"Ref": "Submit"}},
            "Call": {"Value": {"Ref": "Call"}},
        },
    }


_TRAINING_JOBS = "arn:aws:sagemaker:${AWS::Region}:${AWS::AccountId}:training-job"


def _table() -> Json:
    return {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "TableName": {"Fn::Sub": "${AWS::StackName}-items"},
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        },
    }


def _role(service: str, *statements: Json) -> Json:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": [{"PolicyName": "own", "PolicyDocument": policy}],
        },
    }


def _allow(action: str, resource: Any) -> Json:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def _function(name: str) -> Json:
    return {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "FunctionName": {"Fn::Sub": f"${{AWS::StackName}}-{name}"},
            "Runtime": "python3.11",
            "Handler": f"index.{name}",
            "CodeUri": "deployment.zip",
            "Timeout": 20,
            "Role": {"Fn::GetAtt": ["FunctionRole", "Arn"]},
            "Environment": {"Variables": {"TABLE": {"Ref": "Table"}}},
        },
    }


def _api_may_call(function: str) -> Json:
    return {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Ref": function},
            "Principal": "apigateway.amazonaws.com",
        },
    }


def _calls(function: str) -> Json:
    uri = f"arn:aws:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/functions/${{{function}.Arn}}/invocations"
    integration = {"type": "aws_proxy", "httpMethod": "POST", "uri": {"Fn::Sub": uri}}
    return {"x-amazon-apigateway-integration": integration}


def _api(first: str) -> Json:
    paths = {
        "/v1/items": {"post": _calls("Put")},
        # What the embedded cloud asks before it says that it is ready.
        "/v1/health": {"get": _calls(first)},
        "/v1/training/jobs": {"get": _calls(first)},
    }
    definition = {"swagger": "2.0", "info": {"title": "tiny", "version": "1"}, "paths": paths}
    return {
        "Type": "AWS::Serverless::Api",
        "Properties": {
            "StageName": "api",
            "EndpointConfiguration": {"Type": "REGIONAL"},
            "DefinitionBody": definition,
        },
    }


def _job_definition() -> Json:
    return {
        "Type": "AWS::Batch::JobDefinition",
        "Properties": {
            "JobDefinitionName": "tiny",
            "Type": "container",
            "ContainerProperties": {
                "Image": "python:3.11",
                "Command": ["python3", "-c", "import os; print('hello from', os.environ['WHO'])"],
                "JobRoleArn": {"Fn::GetAtt": ["BatchRole", "Arn"]},
                "ResourceRequirements": [{"Type": "VCPU", "Value": "1"}, {"Type": "MEMORY", "Value": "512"}],
                "LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-group": {"Ref": "BatchLogs"}}},
            },
        },
    }


def _machine(name: str, definition: Json) -> Json:
    return {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "StateMachineName": {"Fn::Sub": f"${{AWS::StackName}}-{name}"},
            "RoleArn": {"Fn::GetAtt": ["MachineRole", "Arn"]},
            "DefinitionString": json.dumps(definition),
        },
    }


def _single(state: Json) -> Json:
    return {"QueryLanguage": "JSONata", "StartAt": "Only", "States": {"Only": {"Type": "Task", "End": True, **state}}}


def _train() -> Json:
    arguments = {
        "TrainingJobName": "{% $states.input.name %}",
        "AlgorithmSpecification": {
            "TrainingImage": "000000000000.dkr.ecr.us-east-1.amazonaws.com/tiny:1",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "-c", "{% $states.input.script %}"],
        },
        "OutputDataConfig": {"S3OutputPath": "s3://aimatrix-objects/output"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "RoleArn": "{% $states.input.role %}",
    }
    return _single({"Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync", "Arguments": arguments})


def _submit() -> Json:
    arguments = {
        "JobName": "{% $states.input.name %}",
        "JobQueue": "{% $states.input.queue %}",
        "JobDefinition": "{% $states.input.definition %}",
        "ContainerOverrides": {"Environment": [{"Name": "WHO", "Value": "{% $states.input.name %}"}]},
        "Tags": {"some:Tag": "kept As It Is"},
    }
    return _single({"Resource": "arn:aws:states:::batch:submitJob.sync", "Arguments": arguments})


def _call() -> Json:
    arguments = {"FunctionName": "{% $states.input.function %}", "Payload": "{% $states.input.payload %}"}
    output = "{% $states.result.Payload %}"
    return _single({"Resource": "arn:aws:states:::lambda:invoke", "Arguments": arguments, "Output": output})
