"""The environment of the script: both conventions' variables, whichever arguments it gets."""

from __future__ import annotations

import json
import os

from trainer.conventions import hyperparameter_arguments

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from trainer.console import Console
    from trainer.layout import Layout
    from trainer.spec import Spec

# The service refuses these in a request; a job that carries one all the same gets it left out.
_RESERVED_PREFIXES = (
    "AIMATRIX_", "AWS_", "DYLD_", "ECS_", "LD_", "MLFLOW_EXPERIMENT_", "MLFLOW_RUN_", "MLFLOW_TRACKING_", "PYTHON",
    "SAGEMAKER_", "SM_",
)  # fmt: skip
_RESERVED_NAMES = frozenset(
    {
        "BASH_ENV", "DATASET_PATH", "ENV", "GCONV_PATH", "GLIBC_TUNABLES", "HOME", "HTTPS_PROXY", "HTTP_PROXY", "IFS",
        "JOB_ID", "LOCPATH", "MLFLOW_REGISTRY_URI", "NO_PROXY", "PATH", "SHELL", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR",
        "TRAINING_JOB_ARN", "TRAINING_JOB_NAME", "TRAINING_SCRIPT", "USER", "VIRTUAL_ENV",
    }
)  # fmt: skip
# Linux refuses a longer argument or variable, whatever the room in all (MAX_ARG_STRLEN).
LONGEST_STRING = 128 * 1024 - 1


def is_reserved(name: str) -> bool:
    """Whether a user may not set this variable."""
    upper = name.upper()
    return upper in _RESERVED_NAMES or upper.startswith(_RESERVED_PREFIXES)


def script_environment(
    base: Mapping[str, str],
    spec: Spec,
    layout: Layout,
    *,
    interpreter: Path,
    secrets: Mapping[str, str],
    tracking: Mapping[str, str],
    console: Console,
) -> dict[bytes, bytes]:
    """The script's whole environment, encoded.

    Args:
        base: The container's own variables.
        interpreter: The Python that runs the script; its directory leads `PATH` when it is an environment of its own.
        secrets: The user's secret variables.
        tracking: The `MLFLOW_*` variables.
    """
    result = {name: value for name, value in base.items() if not name.startswith(("AIMATRIX_", "MLFLOW_TRACKING_"))}
    for name, value in (*spec.environment_variables.items(), *secrets.items()):
        if is_reserved(name):
            console.say(f"the environment variable {name} is reserved and was left out")
        else:
            result[name] = value
    result["PYTHONUNBUFFERED"] = "1"
    result["PATH"] = os.pathsep.join((str(interpreter.parent), base.get("PATH", os.defpath)))
    result.update(_document(spec, layout))
    result.update(_sagemaker(spec, layout))
    result.update(tracking)
    for name in ("NO_PROXY", "no_proxy"):
        # MLFLOW_TRACKING_URI is on loopback, which no proxy of the container may see.
        result[name] = ",".join(filter(None, (result.get(name), "127.0.0.1", "localhost")))
    return _encode(result, console)


def _document(spec: Spec, layout: Layout) -> dict[str, str]:
    return {
        "JOB_ID": spec.job_id,
        "TRAINING_SCRIPT": str(layout.code / spec.script_name),
        "DATASET_PATH": str(layout.dataset()),
    }


def _sagemaker(spec: Spec, layout: Layout) -> dict[str, str]:
    """Names and notation of the SageMaker training toolkit: text as it is, anything else as JSON."""
    resources = read_json(layout.config / "resourceconfig.json")
    inputs = read_json(layout.config / "inputdataconfig.json")
    host = str(resources.get("current_host", "algo-1"))
    hosts = resources.get("hosts", [host])
    group = resources.get("current_group_name", "homogeneousCluster")
    groups = resources.get("instance_groups", [])
    channels = {name: str(path) for name, path in layout.channels().items()}
    stem = spec.script_name.removesuffix(".py")
    values: dict[str, object] = {
        "channels": sorted(channels),
        "channel_input_dirs": channels,
        # Not the toolkit's: SageMaker's containers have it at the same place always, a laptop has no such place.
        "checkpoint_dir": str(layout.checkpoints),
        "current_host": host,
        "current_instance_group": group,
        "current_instance_group_hosts": hosts,
        "current_instance_type": resources.get("current_instance_type", "local"),
        "distribution_instance_groups": [],
        "framework_module": "",
        "hosts": hosts,
        "hyperparameters": spec.parameters,
        "input_config_dir": str(layout.config),
        "input_data_config": inputs,
        "input_dir": str(layout.input),
        "instance_groups": [item.get("instance_group_name") for item in groups],
        "instance_groups_dict": {item.get("instance_group_name"): item for item in groups},
        "is_hetero": False,
        "is_master": host == min(hosts),
        "job_name": spec.job_id,
        "log_level": 20,
        "master_hostname": min(hosts),
        "model_dir": str(layout.model),
        "module_dir": str(layout.code),
        "module_name": stem,
        "network_interface_name": resources.get("network_interface_name", "eth0"),
        "num_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "num_gpus": min(spec.gpu_count, _gpus()),
        "output_data_dir": str(layout.output_data),
        "output_dir": str(layout.output),
        "output_intermediate_dir": str(layout.output_intermediate),
        "resource_config": resources,
        "user_entry_point": spec.script_name,
    }
    env = {f"SM_{name.upper()}": _text(value) for name, value in values.items()}
    del env["SM_CHANNEL_INPUT_DIRS"], env["SM_HYPERPARAMETERS"]
    env["SM_TRAINING_ENV"] = _text(values)
    env["SM_HPS"] = _text(spec.parameters)
    env["SM_USER_ARGS"] = _text(hyperparameter_arguments(spec.parameters))
    env["SM_FRAMEWORK"] = spec.framework
    env["SM_FRAMEWORK_PARAMS"] = "{}"
    env.update({f"SM_CHANNEL_{name.upper()}": path for name, path in channels.items()})
    # Half of the scripts written for SageMaker call their channel `train`.
    env.setdefault("SM_CHANNEL_TRAIN", str(layout.training))
    env.update({f"SM_HP_{name.upper()}": _text(value) for name, value in spec.parameters.items()})
    return env


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file's object; empty when there is none."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _gpus() -> int:
    try:
        return sum(1 for name in os.listdir("/dev") if name.startswith("nvidia") and name[6:].isdigit())  # noqa: PTH208
    except OSError:
        return 0


def _encode(variables: Mapping[str, str], console: Console) -> dict[bytes, bytes]:
    result = {}
    for name, value in variables.items():
        key, content = os.fsencode(name), value.encode("utf-8", "surrogateescape")
        if not key or b"=" in key or b"\0" in key or b"\0" in content:
            console.say(f"the environment variable {name!r} can't be expressed and was left out")
        elif len(key) + len(content) + 1 > LONGEST_STRING:
            console.say(f"the environment variable {name!r} is longer than Linux allows and was left out")
        else:
            result[key] = content
    return result
