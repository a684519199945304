"""Application Auto Scaling for SageMaker's variants: instances are added and removed as load comes and goes.

Simulated is who looks and how often. AWS has CloudWatch alarms look at a metric each minute, three of them before it adds
instances and fifteen before it removes some; here the emulator looks at its own processes each second (`watching.py`), so
that what takes a quarter of an hour there can be seen here. Cooldowns are as they were asked for. What is added or removed
is real: serving processes, by the way of UpdateEndpointWeightsAndCapacities.
"""

from localcloud.compute.scaling.part import ScalingPart
from localcloud.compute.scaling.watching import ScalingSettings

__all__ = ["ScalingPart", "ScalingSettings"]
