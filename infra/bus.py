"""EventBridge: the bus for the service's own events, apart from what AWS services put on the default one; its archive."""

from __future__ import annotations

from infra.names import Json, att, ref


def fragment() -> Json:
    # Unnamed: an archive's name has at most 48 characters, a stack's up to 128.
    archive: Json = {
        "Type": "AWS::Events::Archive",
        "Properties": {
            "Description": "The service's events, to be replayed",
            "SourceArn": att("EventBus"),
            "EventPattern": {"source": ["aimatrix"]},
            "RetentionDays": ref("EventArchiveDays"),
        },
    }
    return {
        "Resources": {
            "EventBus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": ref("AWS::StackName")}},
            "EventArchive": archive,
        },
        "Outputs": {"EventBusName": {"Description": "Bus of the service's events", "Value": ref("EventBus")}},
    }
