"""The embedded cloud: the whole service on one machine, from the template that runs it on AWS.

- `commands`: what `aimatrix up`, `down`, `status` and `token` do
- `supervisor`, `keeper`, `parts`, `processes`, `health`, `lifeline`: one process that owns all others
- `state`, `locks`, `issuer`: what a state directory holds; who runs on it; its token issuer
- `deploy`, `recovery`: bring the template up; start again what the records call unfinished
- `aws`, `seam`, `journal`: ministack, all that reaches into it, and what makes its data durable
- `frontdoor`, `mlflow_server`, `serving`: the other servers
- `compute`: the emulator behind the SageMaker and Batch APIs
"""
