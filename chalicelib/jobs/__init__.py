"""Training jobs, from the request to the terminal status.

What a job is     `job` the nouns · `life` its states and events · `views` the document that users see
A request         `request` its shape · `rules` what a valid one obeys · `variables`, `secrets`, `suspicion` its variables ·
                  `time_limits` · `spot` · `instances` and `images` what it runs on
Where it runs     `plan` the call to SageMaker or Batch, as data · `definitions` of Batch jobs · `training_queue` and
                  `enqueueing` the operator's queue · `gateways` what is asked of AWS
The way           `service` submit, list, get, cancel · `lifecycle` what the state machine asks for · `causes` why an attempt
                  ended · `moves` and `moving` the next attempt on something else · `outcome` what it left · `finishing` the
                  one way into a terminal status · `deletion`
While it runs     `reports` what the agent's lines say · `logs` what the script printed · `stream` all of it, with one cursor
Records           `store` of jobs and attempts, `items` their shape · `ledger` every change, `ledger_store` its rows
Edges             `routes` over HTTP · `tasks` for machines and events
"""
