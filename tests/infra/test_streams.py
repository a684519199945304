"""For which changes of a table a function is called: by ministack's own reading of the filter."""

from __future__ import annotations

from typing import Any

import pytest

from infra import capabilities, names, permissions
from infra.names import Json
from infra.streams import STREAMS


def _records(pk: str, *images: str) -> dict[str, Any]:
    item = {"pk": {"S": pk}, "sk": {"S": "x"}}
    return {"dynamodb": {"Keys": item, **dict.fromkeys(images, item)}}


class TestSealing:
    @pytest.mark.parametrize(
        ("record", "called"),
        [
            (_records("inbox#acme", "NewImage"), True),
            (_records("inbox#acme", "NewImage", "OldImage"), True),
            (_records("inbox#acme", "OldImage"), False),
            (_records("acme", "NewImage"), False),
            (_records("inbox", "NewImage"), False),
        ],
        ids=["entered", "changed", "taken out", "sealed", "a tenant called inbox"],
    )
    def test_is_called_for_what_comes_into_an_inbox(self, record: dict[str, Any], called: bool) -> None:
        from ministack.services.lambda_svc import _match_esm_filter

        (stream,) = (stream for stream in STREAMS if stream.function.name == "chain_audit")
        assert _match_esm_filter(record, stream.pattern) is called


def _changed(sk: str, **more: str) -> dict[str, Any]:
    return {"dynamodb": {"NewImage": {name: {"S": text} for name, text in {"sk": sk, **more}.items()}}}


class TestSteering:
    @pytest.mark.parametrize(
        ("table", "record", "called"),
        [
            ("experiments", _changed("progress", deployment_id="d"), True),
            ("experiments", _changed("progress"), False),
            ("experiments", _changed("traffic", deployment_id="d"), False),
            ("deployments", _changed("deployment", status="active"), True),
            ("deployments", _changed("deployment", status="deploying"), False),
            ("deployments", _changed("transform", status="failed"), False),
        ],
    )
    def test_is_called_for_looks_of_those_that_split_an_endpoint_and_for_endpoints_that_have_settled(
        self, table: str, record: dict[str, Any], called: bool
    ) -> None:
        from ministack.services.lambda_svc import _match_esm_filter

        (stream,) = (each for each in STREAMS if (each.function.name, each.table) == ("steer_traffic", table))
        assert _match_esm_filter(record, stream.pattern) is called


class TestStreams:
    def test_each_have_what_lambda_needs_to_read_them(self) -> None:
        for stream in STREAMS:
            assert capabilities.read_stream(stream.table) in permissions.FUNCTION_GRANTS[stream.function.name]

    def test_each_have_a_queue_for_what_failed(self, template: Json) -> None:
        assert {stream.function for stream in STREAMS} == set(names.STREAMED)
        for stream in STREAMS:
            properties = template["Resources"][f"{stream.function.logical_id}{names.pascal(stream.table)}Stream"][
                "Properties"
            ]
            queue = properties["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]
            assert template["Resources"][queue]["Type"] == "AWS::SQS::Queue"
