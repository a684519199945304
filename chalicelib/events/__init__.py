"""Events: what happened to records, for whoever listens on the stack's bus.

The tables' streams are their only source: nothing publishes an event beside a write, so none can be forgotten, and none is
about something that was not written. `shapes.py` says what each event holds, `changes.py` which change of an item is which
event, `gateways.py` puts them on the bus, `tasks.py` is what the streams call.
"""
