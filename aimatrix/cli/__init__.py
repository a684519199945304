"""The command ``aimatrix``.

``main`` is the entry point; ``app`` puts the verbs together. The other modules, from the bottom up::

    exits ──── exit codes, and which error ends in which
    output ─── what goes to stdout, what to stderr, and how it looks
    tools ──── what the verbs work with (a client, the launcher, a clock): handed in, so that tests hand in others
    options ── options that several verbs share
    parsing, files ── from words on the command line to a job request and the files to send
    watching, views ── following a job: events, and how they are shown
    limits ─── how quotas are shown, and why a job was refused
    cloud, submit, jobs, logs, models, deployments, predict, quota, demo ── the verbs

Heavy things (httpx, rich, localcloud) are imported by the verb that needs them, when it runs: ``aimatrix --help`` is
instant.
"""


def main() -> None:
    """Runs the command line and exits with its code (``aimatrix.cli.exits``)."""
    from aimatrix.cli.app import app

    app(prog_name="aimatrix")
