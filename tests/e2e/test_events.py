"""What happens to records, as a rule on the stack's bus sees it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aimatrix.client import Client, Limits, QuotaExceededError
from tests.e2e import scripts
from tests.e2e.conftest import Cloud
from tests.e2e.listener import Listener

TENANT = "listening"
TRAINS = """
import os, joblib, mlflow
from sklearn.dummy import DummyClassifier
for step in range(3):
    mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
joblib.dump(DummyClassifier(strategy="constant", constant=1).fit([[0]], [1]), os.environ["SM_MODEL_DIR"] + "/model.joblib")
"""


@pytest.fixture(scope="module")
def listener(cloud: Cloud) -> Listener:
    return Listener(cloud, TENANT)


@pytest.fixture(scope="module")
def ada(cloud: Cloud) -> Iterator[Client]:
    with cloud.client("ada", tenant=TENANT) as client:
        yield client


class TestAJobsLife:
    def test_is_told_in_order_and_once(self, ada: Client, listener: Listener, tmp_path: Path) -> None:
        job = scripts.run(ada, tmp_path, TRAINS, framework="sklearn")
        assert job.status == "completed", job.failure_reason
        listener.until("training.job.status-changed", jobId=job.job_id, status="completed")
        submitted, changes = listener.of("training.job.submitted"), listener.of("training.job.status-changed")
        assert [each["jobId"] for each in submitted] == [job.job_id]
        ordered = sorted(changes, key=lambda each: each["recordVersion"])
        assert [(each["previousState"], each["state"]) for each in ordered] == [
            ("pending", "running"),
            ("running", "completed"),
        ]
        model = listener.until("training.model.ready", jobId=job.job_id)["detail"]
        assert (model["modelId"], model["servable"]) == (job.model_id, True)
        metrics = listener.until("training.metrics.recorded", jobId=job.job_id)
        assert {point["name"] for point in metrics["detail"]["metrics"]} <= {"loss"}
        history = ada.jobs.history(job.job_id)
        assert history.is_equal, history.document
        assert [change.kind for change in history.changes][-1] == "Ended"
        ids = [event["detail"]["eventId"] for event in listener.seen]
        assert len(set(ids)) == len(ids)


class TestARefusal:
    def test_for_a_quota_is_told(self, cloud: Cloud, ada: Client, listener: Listener, tmp_path: Path) -> None:
        request = scripts.request(ada, tmp_path, TRAINS)
        with cloud.client("root", "ADMIN", tenant=TENANT) as admin:
            admin.quotas.set_user("ada", Limits(max_concurrent_jobs=0))
        with pytest.raises(QuotaExceededError):
            ada.jobs.submit(request)
        refused = listener.until("quota.exceeded", userId="ada")["detail"]
        assert refused["operation"] == "submit_job"
        assert "max_concurrent_jobs" in refused["detail"]


class TestANotice:
    def test_comes_to_who_subscribed_to_the_topic_and_to_nobody_who_wants_others(
        self, cloud: Cloud, ada: Client, tmp_path: Path
    ) -> None:
        cloud.raise_quota("ada", TENANT)  # which another test has taken away
        sqs, sns = cloud.boto("sqs"), cloud.boto("sns")
        (topic,) = (each["TopicArn"] for each in sns.list_topics()["Topics"] if "notifications" in each["TopicArn"])
        queues = {}
        for name, user in (("hers", "ada"), ("somebody-elses", "bob")):
            queues[name] = sqs.create_queue(QueueName=name)["QueueUrl"]
            arn = sqs.get_queue_attributes(QueueUrl=queues[name], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            statement = {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
            }
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            sqs.set_queue_attributes(QueueUrl=queues[name], Attributes={"Policy": policy})
            wanted = {"detail": {"tenantId": [TENANT], "userId": [user], "status": ["failed"]}}
            attributes = {"FilterPolicyScope": "MessageBody", "FilterPolicy": json.dumps(wanted)}
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)
        scripts.run(ada, tmp_path, "print('well')\n", name="well")
        failed = scripts.run(ada, tmp_path, "raise SystemExit(3)\n", name="not-well")
        assert failed.status == "failed"
        told = _notices(sqs, queues["hers"], seconds=60)
        assert [(each["detail-type"], each["detail"]["jobId"]) for each in told] == [
            ("training.job.status-changed", failed.job_id)
        ]
        assert _notices(sqs, queues["somebody-elses"], seconds=1) == []


def _notices(sqs: Any, queue: str, seconds: float) -> list[dict[str, Any]]:
    """What SNS brought, as soon as there is anything."""
    deadline = time.monotonic() + seconds
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < deadline:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        found = [json.loads(json.loads(message["Body"])["Message"]) for message in answer.get("Messages", [])]
    return found
