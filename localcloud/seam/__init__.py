"""The seam: all that reaches into ministack, in one place.

ministack is pinned exactly, and `pins` names every function and variable that is hooked here; a test fails as soon as an
upgrade moves one of them.

- `access`: who may come in at all; `authorization`, `control`: the control endpoints of the other parts; `conditions`,
  `policy_variables`: what policies may ask of a request
- `forwarding`: what is for SageMaker and Batch goes on to the compute emulator
- `machines`: Step Functions' integrations with SageMaker and Batch; `executions`: what an execution's end stops;
  `task_tokens`: whose a token is; `deletion`: what becomes of a deleted machine's executions; `state_data`: how
  much they may carry
- `batch_types`, `archives`: CloudFormation's Batch types and EventBridge archives; `keys`, `kept_secrets`: its KMS keys and
  secrets; `gateway_responses`: what the gateway itself answers
- `functions`, `pool`, `breeder`, `interpreter`, `worker`: how Lambda functions run; `quiet`: who goes first;
  `streams`: when a table's changes are read; `speed`: what is asked too often to be slow
- `percentile_rank`: a statistic that ministack's CloudWatch lacks
- `stores`: what the journal sees of the tables, keys, secrets and logs; `retention`: how much of the past is kept
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localcloud.journal.directory import JournalDirectory
from localcloud.journal.writer import Journal
from localcloud.state import HOST, Settings, StateDir
from localcloud.upstream import Upstream

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application


@dataclass(frozen=True)
class Cloud:
    """ministack with everything installed.

    Attributes:
        application: what is to be served.
        close: ends what was started and writes what is left.
    """

    application: ASGI3Application
    close: Callable[[], None]


def install(state: StateDir, settings: Settings) -> Cloud:
    """Import ministack and hook into it; its configuration must be in the environment already."""
    from ministack import app as ministack_app

    from localcloud.seam import (
        access,
        archives,
        batch_types,
        conditions,
        control,
        deletion,
        executions,
        forwarding,
        functions,
        gateway_responses,
        kept_secrets,
        keys,
        machines,
        object_bodies,
        percentile_rank,
        pins,
        policy_variables,
        retention,
        speed,
        state_data,
        task_tokens,
    )
    from localcloud.seam.compute_client import ComputeClient, Keys
    from localcloud.seam.quiet import Quiet, Watched
    from localcloud.seam.stores import Durable, Stores
    from localcloud.seam.streams import Streams

    pins.check()
    speed.install()
    percentile_rank.install()
    journal = Journal(JournalDirectory(state.part("journal")))
    stores = Stores(journal.append)
    contents = journal.open()
    stores.install(contents)
    compute = ComputeClient(settings.compute_url, settings.control_secret)
    access.admit_root(settings)
    end_functions = functions.install(state.part("aws") / "lambda")
    quiet = Quiet()
    deletion.install()
    state_data.install()
    executions.install(quiet.wait)
    Streams(journal.append).install(contents, quiet.wait)
    machines.install(compute, journal.flush)
    retention.install()
    task_tokens.install()
    gateway_responses.install()
    object_bodies.install()
    keys.install()
    kept_secrets.install()
    archives.install()
    conditions.install()
    policy_variables.install()
    batch_types.install(compute, Keys(settings.access_key_id, settings.secret_access_key))
    services = Durable(ministack_app.app, stores, journal.flush)
    api = Watched(services, quiet)
    to_compute = forwarding.Forwarder(Upstream(HOST, settings.compute_port))
    guard = access.Guard(services, to_compute, api, control.Control(journal.flush), settings.control_secret)

    def close() -> None:
        end_functions()
        stores.note_small_services()
        journal.close()

    return Cloud(guard, close)
