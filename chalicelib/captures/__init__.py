"""What endpoints were asked and what they answered, kept in S3 in the form of SageMaker's data capture.

SageMaker's own capture keeps requests as they come. Here named fields are taken out first (`redaction.py`), so it is done
where the request passes through (`capturing.py`), and can be changed without touching the endpoint.
"""
