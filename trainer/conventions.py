"""Which command-line arguments the script gets, and the exact list of them.

Both conventions' environment variables are always set (see `variables`); only the arguments differ:

    document      --job-id=ID --data-path=DIR --output-path=DIR --parameters=JSON
    script_mode   --name value for each parameter, sorted by name, as the SageMaker training toolkit does

With `arguments: auto` the script's own string constants decide. They are taken from the compiled code, so that comments
don't count; nothing of the script is run. The first rule that applies wins:

1. `--job-id` or `--parameters` is mentioned: document.
2. `--data-path` and `--output-path` are mentioned and no `SM_` variable is: document.
3. An `SM_` variable is mentioned: script_mode.
4. Any other option (`--name`) is mentioned: script_mode. The script parses its arguments, and would refuse the document's.
5. Otherwise: document. The script does not look at its arguments, or takes them as they come.

A script that can't be compiled gets the document's arguments, and reports its own syntax error.
"""

from __future__ import annotations

import json
import warnings

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import CodeType

    from trainer.layout import Layout
    from trainer.spec import Spec

DOCUMENT = "document"
SCRIPT_MODE = "script_mode"


def style_of(source: bytes, requested: str = "auto") -> str:
    """Returns `document` or `script_mode` by the rule above; `requested` overrides unless it is `auto`."""
    if requested != "auto":
        return requested
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(source, "<script>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return DOCUMENT
    words = {word for constant in _strings(code) if len(constant) < 200 for word in constant.split()}
    options = {word.split("=", 1)[0] for word in words if word.startswith("--")}
    uses_sagemaker = any(word.startswith("SM_") for word in words)
    if options & {"--job-id", "--parameters"}:
        return DOCUMENT
    if options >= {"--data-path", "--output-path"} and not uses_sagemaker:
        return DOCUMENT
    if uses_sagemaker or any(len(option) > 2 and option[2].isalpha() for option in options):
        return SCRIPT_MODE
    return DOCUMENT


def arguments(style: str, spec: Spec, layout: Layout) -> list[str]:
    """The script's arguments, not yet encoded. Values are passed on as they are: no shell ever reads them."""
    if style == SCRIPT_MODE:
        return hyperparameter_arguments(spec.parameters)
    return [
        f"--job-id={spec.job_id}",
        f"--data-path={layout.training}",
        f"--output-path={layout.output_data}",
        f"--parameters={json.dumps(spec.parameters, ensure_ascii=False)}",
    ]


def hyperparameter_arguments(parameters: Mapping[str, object]) -> list[str]:
    """`--name value` pairs in the order and the notation of the SageMaker training toolkit.

    A name of one letter gets one dash, `None` is the empty string, lists and booleans are written as Python writes them,
    and an object becomes `key=value` pairs joined by commas.
    """
    result = []
    for name in sorted(parameters):
        value = parameters[name]
        result.append(f"--{name}" if len(name) > 1 else f"-{name}" if name else "")
        if value is None:
            result.append("")
        elif isinstance(value, dict):
            result.append(",".join(f"{key}={value[key]}" for key in sorted(value)))
        else:
            result.append(str(value))
    return result


def _strings(code: CodeType) -> Iterator[str]:
    pending: list[object] = [code]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, (tuple, frozenset)):
            pending.extend(item)
        elif hasattr(item, "co_consts"):
            pending.extend(item.co_consts)
