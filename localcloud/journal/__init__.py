"""The journal: what the AWS services hold, written down before it is acknowledged.

ministack keeps everything in memory. The journal keeps *data*: items, keys, secrets, log events (objects are files of their
own already). It keeps no actions: an execution or an event that was replayed would happen twice.

- `records`: what a change looks like, and the contents that follow from a sequence of changes
- `frames`: how changes lie in a file, so that a file that ends in the middle of one is still readable
- `directory`: snapshots and journals of one state, how they are read back, and compaction
- `writer`: appends changes and makes them durable

Durable means: given to the operating system. Any process may then be killed at any moment. A crash of the machine itself may
lose the last moments, since nothing waits for the disk.
"""
