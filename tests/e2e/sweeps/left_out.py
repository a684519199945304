"""What is not swept here, and why."""

from __future__ import annotations

LEFT_OUT = {
    "APIHandler": "its operations are swept one by one",
    "assignVariants": "it changes nothing: a variant follows from the key",
    "authorize": "it writes nothing but a key's last use",
    "admit_jobs": "swept with the whole admission, over a store in memory: tests/functional/capacity/test_faults.py",
    "check_quotas": "it reads, and keeps how far it has come",
    "enqueue_attempt": "every loss and order: tests/functional/jobs/test_enqueueing.py",
    "importCapacity": "it sets pools one by one, as setCapacityPool does",
    "invokeDeployment": "it changes nothing of ours",
    "invokeEndpoint": "it changes nothing of ours",
}
