"""What runs inside a container: the agent around a user's training script, and the model server.

    __main__ ──► agent ──► spec, inputs, conventions, variables, requirements     before the script
                   │
                   ├─────► supervisor ──► lines, processes                        while it runs
                   │         watch ──► patterns, reporter, disk, checkpoint_watch, files, tracking/
                   │
                   └─────► finish ──► outputs, archive, model/, report            after it

`credentials`, `sigv4`, `s3`, `upload` and `transport` are the agent's own small AWS client. `console` is the only way out
while the job runs. `bundle` packs all of it into agent.zip, and `bootstrap` fetches that on AWS Batch. `serving/` goes into
a model's archive and answers predictions.

Standard library and Python 3.9 or later only: the agent has to run in any image. Up to the script's start every
millisecond is the user's, so the modules needed until then import as little as they can (not even `typing`), and those
needed later are imported later. The life of an attempt in numbered steps: docs/agent.md.
"""
