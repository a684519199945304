"""Whatever a parameter holds, the script gets exactly that, and nothing else happens."""

from __future__ import annotations

import itertools
import json

from tests.faults import Shows
from tests.functional.trainer.harness import PREFIX, Container

_PAYLOADS = [
    "; touch PWNED", "&& touch PWNED", "|| touch PWNED", "| tee PWNED", "$(touch PWNED)", "`touch PWNED`", "> PWNED",
    "< /etc/passwd", "'; touch PWNED; '", '"; touch PWNED; "', "\\'; touch PWNED", "${IFS}touch${IFS}PWNED", "$HOME",
    "${PATH}", "%PATH%", "!!", "~", "~root", "*", "?", "[a-z]", "{a,b}", "#comment", "\\", "\\\\", "\n", "\r\n", "\t",
    "a\nb", "a b  c", " ", "", "-", "--", "--job-id=evil", "-c", "--help", "=", "a=b", "@file", "\x01", "\x1b[2J",
    "\x7f", "é", "漢字", "🙂", "\u202e", "\u2028", "\ufeff", "é" * 100, "%s%n", "{0}", "{{}}", "<script>",
    "' OR 1=1 --", "../../etc/passwd", "s3://other/bucket", "file:///etc/passwd", "http://169.254.169.254/", "$((1+1))",
    "$'\\x41'", "<(touch PWNED)", "&", "(touch PWNED)", "a;b|c&d", "'", '"', "''", '""', "'\"'\"'",
]  # fmt: skip
_SHAPES = ("{}", "x{}", "{}y")
CORPUS = [shape.replace("{}", payload) for payload, shape in itertools.product(_PAYLOADS, _SHAPES)]

# The script proves what it got by its own argument vector, byte for byte, as the kernel keeps it.
_SCRIPT = """
import json, os
from pathlib import Path
Path(os.environ["SM_OUTPUT_DATA_DIR"], "cmdline").write_bytes(Path("/proc/self/cmdline").read_bytes())
"""


def vector(container: Container) -> list[bytes]:
    finished = container.run()
    assert finished.code == 0, finished.stdout
    assert not list(container.root.rglob("PWNED"))
    body = container.s3.objects[PREFIX + "output/cmdline"]
    # Interpreter and script come first; every argument ends with a zero byte.
    return body.split(b"\0")[2:-1]


def test_the_corpus_is_large_enough() -> None:
    assert len(set(CORPUS)) >= 200


def test_hyperparameters_arrive_byte_for_byte(container: Container, shows: Shows) -> None:
    container.script = _SCRIPT
    container.spec |= {
        "arguments": "script_mode",
        "parameters": {f"p{number:03}": text for number, text in enumerate(CORPUS)},
    }
    expected = [word.encode() for number, text in enumerate(CORPUS) for word in (f"--p{number:03}", text)]
    assert vector(container) == expected
    shows(22, f"{len(CORPUS)} texts through the real agent, argument vector byte for byte, 0 effects")


def test_names_of_hyperparameters_arrive_byte_for_byte(container: Container) -> None:
    names = sorted({text for text in CORPUS if len(text) > 1})
    container.script = _SCRIPT
    container.spec |= {"arguments": "script_mode", "parameters": dict.fromkeys(names, "v")}
    assert vector(container) == [word.encode() for name in names for word in (f"--{name}", "v")]


def test_the_documents_parameters_arrive_as_the_same_json(container: Container) -> None:
    parameters = {text: text for text in CORPUS}
    container.script = _SCRIPT
    container.spec |= {"arguments": "document", "parameters": parameters}
    *_, last = vector(container)
    assert json.loads(last.removeprefix(b"--parameters=")) == parameters


def test_environment_variables_arrive_byte_for_byte(container: Container) -> None:
    container.script = """
import os
from pathlib import Path
Path(os.environ["SM_OUTPUT_DATA_DIR"], "cmdline").write_bytes(Path("/proc/self/environ").read_bytes())
"""
    container.spec["environment_variables"] = {f"USER_{number:03}": text for number, text in enumerate(CORPUS)}
    finished = container.run()
    found = dict(item.split(b"=", 1) for item in container.s3.objects[PREFIX + "output/cmdline"].split(b"\0") if item)
    assert finished.code == 0
    assert [found[f"USER_{number:03}".encode()] for number in range(len(CORPUS))] == [text.encode() for text in CORPUS]


def test_a_job_id_full_of_metacharacters_is_one_argument(container: Container) -> None:
    container.script = _SCRIPT
    container.spec |= {"arguments": "document", "job_id": "x; touch PWNED $(touch PWNED)"}
    assert vector(container)[0] == b"--job-id=x; touch PWNED $(touch PWNED)"
