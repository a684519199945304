"""EventBridge: the bus for the service's own events, apart from what AWS services put on the default one."""

from __future__ import annotations

from infra.names import Json, ref


def fragment() -> Json:
    return {
        "Resources": {"EventBus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": ref("AWS::StackName")}}},
        "Outputs": {"EventBusName": {"Description": "Bus of the service's events", "Value": ref("EventBus")}},
    }
