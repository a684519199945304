"""SageMaker training jobs.

`part.py` answers the API, `requests.py` refuses what cannot run here, `record.py` holds what is known about a job and how
it may change, `run.py` brings one job from Starting to its end; what all jobs of SageMaker have in common is in `jobs`.
"""

from localcloud.compute.training.part import TrainingPart

__all__ = ["TrainingPart"]
