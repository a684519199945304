"""What jobs share. Training jobs and Batch jobs: the directory, the data, the process with its limits, the archive.

The jobs of SageMaker: `sagemaker_part.py` answers their API, `sagemaker_record.py` holds what is known about one, and
`state_change.py` tells EventBridge.
"""
