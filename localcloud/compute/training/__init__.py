"""SageMaker training jobs.

`part.py` answers the API, `requests.py` refuses what cannot run here, `record.py` holds what is known about a job and how
it may change, `run.py` brings one job from Starting to its end, `events.py` tells EventBridge.
"""

from localcloud.compute.training.part import TrainingPart

__all__ = ["TrainingPart"]
