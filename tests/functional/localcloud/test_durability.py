"""No acknowledged write is lost when the AWS services are killed under load."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.faults import Shows
from tests.functional.localcloud.conftest import Cloud, all_gone, until

WRITERS = 4
KILLS = 2
WRITES_BETWEEN_KILLS = int(os.environ.get("AIMATRIX_SEQUENCES", "600")) // KILLS
"""`make faults` kills among 10,000."""
STREAM = "durability"
GROUP = "/aws/sagemaker/TrainingJobs"


@dataclass
class Acknowledged:
    """What the services said they had stored."""

    items: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    objects: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)

    def count(self) -> int:
        return len(self.items) + len(self.objects) + len(self.messages)


def write_until(stop: threading.Event, cloud: Cloud, writer: int, seen: Acknowledged) -> None:
    """Write one thing after the other; note only what was acknowledged."""
    dynamodb, s3, logs = cloud.dynamodb, cloud.s3, cloud.logs
    table, bucket = cloud.outputs["Table"], cloud.outputs["Bucket"]

    def put(name: str) -> None:
        dynamodb.put_item(TableName=table, Item={"id": {"S": name}})
        seen.items.add(name)

    def transact(name: str) -> None:
        names = [f"{name}-{part}" for part in "ab"]
        puts = [{"Put": {"TableName": table, "Item": {"id": {"S": one}}}} for one in names]
        dynamodb.transact_write_items(TransactItems=puts)  # type: ignore[arg-type]
        seen.items.update(names)

    def replace(name: str) -> None:
        put(name)
        # From here on it may be there or not, until the deletion is acknowledged.
        seen.items.remove(name)
        dynamodb.delete_item(TableName=table, Key={"id": {"S": name}})
        seen.deleted.add(name)

    def upload(name: str) -> None:
        s3.put_object(Bucket=bucket, Key=f"durability/{name}", Body=name.encode())
        seen.objects.add(name)

    def log(name: str) -> None:
        events = [{"timestamp": int(time.time() * 1000), "message": name}]
        logs.put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=events)  # type: ignore[arg-type]
        seen.messages.add(name)

    writes: list[Callable[[str], None]] = [put, transact, replace, upload, log]
    for number, write in zip(itertools.count(), itertools.cycle(writes), strict=False):
        if stop.is_set():
            return
        try:
            write(f"{writer}-{number}")
        except (ClientError, BotoCoreError):
            # Not acknowledged: it may be there or not.
            stop.wait(0.02)


def kill_aws(cloud: Cloud) -> None:
    pid = cloud.part("aws").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: cloud.part("aws").pid not in (pid, None) and bool(cloud.run["deployed"]))


def put_events(cloud: Cloud, count: int) -> datetime:
    """Put numbered events on the template's bus; the time before the first."""
    before = datetime.now(UTC)
    events = cloud.session().client("events", endpoint_url=cloud.settings.aws_url)
    for number in range(count):
        detail = json.dumps({"number": number})
        entry: Any = {"Source": "test", "DetailType": "numbered", "Detail": detail, "EventBusName": "tiny"}
        events.put_events(Entries=[entry])
    return before


def replayed(cloud: Cloud, since: datetime) -> list[tuple[int, str]]:
    """What a replay to one of two rules brings: the number of each event, and the replay that it says it is of."""
    events = cloud.session().client("events", endpoint_url=cloud.settings.aws_url)
    sqs = cloud.session().client("sqs", endpoint_url=cloud.settings.aws_url)
    queue = sqs.create_queue(QueueName="replayed")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for rule in ("wanted", "other"):
        events.put_rule(Name=rule, EventBusName="tiny", EventPattern=json.dumps({"source": ["test"]}))
        events.put_targets(Rule=rule, EventBusName="tiny", Targets=[{"Id": rule, "Arn": arn}])
    wanted = events.describe_rule(Name="wanted", EventBusName="tiny")["Arn"]
    events.start_replay(
        ReplayName="again",
        EventSourceArn=cloud.outputs["Archive"],
        EventStartTime=since - timedelta(seconds=2),
        EventEndTime=datetime.now(UTC),
        Destination={"Arn": cloud.outputs["Bus"], "FilterArns": [wanted]},
    )
    until(lambda: events.describe_replay(ReplayName="again")["State"] == "COMPLETED")
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    bodies = [json.loads(message["Body"]) for message in messages]
    return [(body["detail"]["number"], body["replay-name"]) for body in bodies]


class TestKill:
    def test_of_the_aws_services_loses_no_acknowledged_write(self, cloud: Cloud, shows: Shows) -> None:
        cloud.logs.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)
        acknowledged = [Acknowledged() for _ in range(WRITERS)]
        stop = threading.Event()
        writers = [
            threading.Thread(target=write_until, args=(stop, cloud, number, seen))
            for number, seen in enumerate(acknowledged)
        ]
        for thread in writers:
            thread.start()
        try:
            for kill in range(1, KILLS + 1):
                until(
                    lambda kill=kill: sum(seen.count() for seen in acknowledged) > kill * WRITES_BETWEEN_KILLS,  # type: ignore[misc]
                    seconds=600,
                )
                kill_aws(cloud)
        finally:
            stop.set()
            for thread in writers:
                thread.join()
        items = {
            item["id"]["S"]
            for page in cloud.dynamodb.get_paginator("scan").paginate(TableName=cloud.outputs["Table"])
            for item in page["Items"]
        }
        listing = cloud.s3.get_paginator("list_objects_v2").paginate(Bucket=cloud.outputs["Bucket"])
        objects = {entry["Key"].rpartition("/")[2] for page in listing for entry in page.get("Contents", [])}
        events = cloud.logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, logStreamNames=[STREAM])
        messages = {event["message"] for page in events for event in page["events"]}
        total = sum(seen.count() for seen in acknowledged)
        shows(3, f"{total} acknowledged writes, {KILLS} kills: 0 lost")
        for seen in acknowledged:
            assert seen.items - items == set()
            assert seen.objects - objects == set()
            assert seen.messages - messages == set()
            assert seen.deleted & items == set()
        sample = max(acknowledged[0].objects)
        body = cloud.s3.get_object(Bucket=cloud.outputs["Bucket"], Key=f"durability/{sample}")["Body"].read()
        assert body == sample.encode()

    def test_leaves_no_half_transaction(self, cloud: Cloud) -> None:
        items = {
            item["id"]["S"]
            for page in cloud.dynamodb.get_paginator("scan").paginate(TableName=cloud.outputs["Table"])
            for item in page["Items"]
        }
        halves = {name for name in items if name[-2:] in ("-a", "-b")}
        assert {name[:-2] for name in halves if name.endswith("-a")} == {n[:-2] for n in halves if n.endswith("-b")}

    def test_ends_the_lambda_workers_too(self, cloud: Cloud) -> None:
        aws = next(process for process in cloud.processes() if process.pid == cloud.part("aws").pid)
        invoke = cloud.session().client("lambda", endpoint_url=cloud.settings.aws_url)
        invoke.invoke(FunctionName="aimatrix-silent", Payload=b"{}")
        workers = aws.children()
        assert workers
        kill_aws(cloud)
        assert all_gone(workers)

    def test_keeps_keys_secrets_and_archived_events_and_gives_the_template_its_own_again(self, cloud: Cloud) -> None:
        # One kill for all: a part that dies too often within a minute is given up, as it should be.
        session = cloud.session()
        kms = session.client("kms", endpoint_url=cloud.settings.aws_url)
        secrets = session.client("secretsmanager", endpoint_url=cloud.settings.aws_url)
        key = kms.create_key(Description="durable")["KeyMetadata"]["KeyId"]
        sealed = kms.encrypt(KeyId=key, Plaintext=b"plain")["CiphertextBlob"]
        secrets.create_secret(Name="durable", SecretString="first")
        secrets.put_secret_value(SecretId="durable", SecretString="second")
        own_key, own_secret = cloud.outputs["Key"], cloud.outputs["Secret"]
        signature = kms.sign(KeyId=own_key, Message=b"receipt", SigningAlgorithm="ECDSA_SHA_256")["Signature"]
        public = kms.get_public_key(KeyId=own_key)["PublicKey"]
        value = secrets.get_secret_value(SecretId=own_secret)["SecretString"]
        assert len(value) == 64
        archived = put_events(cloud, 3)
        kill_aws(cloud)
        assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"plain"
        assert secrets.get_secret_value(SecretId="durable")["SecretString"] == "second"
        assert (cloud.outputs["Key"], cloud.outputs["Secret"]) == (own_key, own_secret)
        assert kms.get_public_key(KeyId=own_key)["PublicKey"] == public
        checked = kms.verify(KeyId=own_key, Message=b"receipt", Signature=signature, SigningAlgorithm="ECDSA_SHA_256")
        assert checked["SignatureValid"]
        assert secrets.get_secret_value(SecretId=own_secret)["SecretString"] == value
        assert replayed(cloud, archived) == [(number, "again") for number in range(3)]

    def test_forgets_what_was_deleted(self, cloud: Cloud) -> None:
        schema = {
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
        }
        dynamodb = cloud.dynamodb
        dynamodb.create_table(TableName="kept", **schema)  # type: ignore[arg-type]
        dynamodb.create_table(TableName="dropped", **schema)  # type: ignore[arg-type]
        for table in ("kept", "dropped"):
            dynamodb.put_item(TableName=table, Item={"id": {"S": "x"}})
        dynamodb.delete_table(TableName="dropped")
        kill_aws(cloud)
        for table, expected in (("kept", 1), ("dropped", 0)):
            dynamodb.create_table(TableName=table, **schema)  # type: ignore[arg-type]
            assert dynamodb.scan(TableName=table)["Count"] == expected, table
