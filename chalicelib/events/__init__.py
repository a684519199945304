"""Events: what happened to records, for whoever listens on the stack's bus.

The tables' streams are their only source: nothing publishes an event beside a write, so none can be forgotten, and none is
about something that was not written. `shapes.py` says what each event holds, `subject.py` what it is about, `changes.py`
which change of an item is which event, `gateways.py` puts them on the bus, `tasks.py` is what the streams call.

What cannot be published or delivered is a dead letter: `dead_letter.py` what it is, `undelivered.py` what becomes one,
`store.py` the table `events`. `service.py` and `routes.py` are the administrator's: list, redrive, replay from the archive.
"""
