"""What can go wrong in the agent itself, as opposed to in the user's script.

AgentError              the job fails; the message is for the user
├── SpecError           spec.json can't be read or is not of the agreed form
├── StorageError        S3 refused or stayed out of reach
│   ├── ObjectMissing   no such object
│   └── OutOfReach      nobody answered, or only with faults of its own
├── DataError           the dataset could not be fetched
└── RequirementsError   pip could not install requirements.txt
Stopped                 a signal asked the agent to end before the script had started
"""

from __future__ import annotations


class AgentError(Exception):
    """The job can't go on; the message names the cause and, where there is one, the cure."""


class SpecError(AgentError):
    """spec.json is missing, unreadable or not of the agreed form."""


class StorageError(AgentError):
    """S3 refused a request for good, or stayed out of reach after every retry."""


class ObjectMissing(StorageError):
    """The object does not exist."""


class OutOfReach(StorageError):
    """There was no useful answer after every retry: asking for something else would take as long."""


class DataError(AgentError):
    """The dataset is not there, or could not be fetched."""


class RequirementsError(AgentError):
    """pip could not install what requirements.txt names."""


class Stopped(BaseException):
    """A signal arrived before the script was started. Not an `Exception`: nothing may swallow it by accident."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number
