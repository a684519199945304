"""MLflow, spoken to over its REST API: no `import mlflow`, so the Lambda zip stays small and starts fast.

`address.py` where the server is, from an http(s) address or the ARN of a SageMaker-managed one · `client.py` one call,
signed where needed, repeated where that is safe · `registry.py` a model version in MLflow's registry, made once.
"""
