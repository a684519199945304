"""MLflow between the script and the server: a reverse proxy on loopback.

The script gets `MLFLOW_TRACKING_URI=http://127.0.0.1:<port>` and a token of its own. Behind it:

    server ──► gateway ──► upstream ──► the MLflow server (signed, if SageMaker manages it)
                 │ │
                 │ └─► spool: writes wait here, in order, while the server is away
                 └───► observer: metric values and logged models, as they are accepted

`run` opens the job's run before the script starts. If the server is away then, the script gets a run id that the agent made
up; the gateway answers for it, and puts the real id in its place in everything that is sent once the run exists.

What the gateway changes, and nothing else:

- An experiment looked up or created by name is always the job's: `mlflow.set_experiment("x")` in a script does not move its
  metrics out of the job's run, and no job reaches another's experiment by name.
- The first run that a script creates without a parent is the job's run; later ones become its children.
- The job's run keeps its name, the job's id.
- A parameter of the job that the script logs with another spelling (`6` and `6.0`) is kept under `script.<name>`, where
  MLflow would refuse it and fail the script.
"""
