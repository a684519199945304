"""Check what is deployed, before it is: `python -m infra.check`.

1. .chalice/, openapi.json and the table of permissions are what the code says.
2. The template builds, keeps our rules, and cfn-lint has nothing against it.
3. The state machines keep our rules, their calls fit botocore's models, and asl-validator has nothing against them
   (where Node is present; it is not needed for anything else).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from infra import (
    assertions,
    build,
    chalice_config,
    event_schemas,
    integrations,
    machine_rules,
    machines,
    names,
    openapi,
    permission_table,
)

PROJECT = build.PROJECT
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1")
"""Where the template is meant to work; cfn-lint knows what each region has."""


def generated_files() -> list[str]:
    found = [f".chalice/{name} is stale: run python -m infra.chalice_config" for name in chalice_config.drift()]
    stale = [module.__name__ for module in (openapi, permission_table, event_schemas) if module.main(["--check"])]
    return found + [f"what {name} writes is stale: run python -m {name}" for name in stale]


def our_rules(template: Path) -> list[str]:
    return assertions.problems(json.loads(template.read_text(encoding="utf-8")))


def state_machines() -> list[str]:
    found = []
    for machine in names.MACHINES:
        definition = machines.definition(machine)
        found += machine_rules.problems(machine, definition) + integrations.problems(machine, definition)
    return found


def cfn_lint(template: Path) -> list[str]:
    """Exceptions, each with its reason, stand in .cfnlintrc.yaml."""
    arguments = ["--config-file", str(PROJECT / ".cfnlintrc.yaml"), "--format", "parseable", "--regions", *REGIONS]
    # The console script's own entry point: the package has no __main__.
    source = "import sys; from cfnlint.runner import main; sys.exit(main())"
    return _complaints([sys.executable, "-c", source, *arguments, "--template", str(template)])


def asl_validator() -> list[str] | None:
    """None where there is no Node."""
    npm, npx = shutil.which("npm"), shutil.which("npx")
    if npm is None or npx is None:
        return None
    if not (PROJECT / "node_modules" / ".bin" / "asl-validator").exists():
        installed = _complaints([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"])
        if installed:
            return installed
    paths = [str(machines.definition_path(machine)) for machine in names.MACHINES]
    options = [part for path in paths for part in ("--json-path", path)]
    return _complaints([npx, "--no-install", "asl-validator", *options])


def _complaints(arguments: list[str]) -> list[str]:
    result = subprocess.run(arguments, cwd=PROJECT, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return []
    said = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    return said or [f"{arguments[0]} failed with exit code {result.returncode}"]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check the template and the state machines.")
    parser.add_argument("--out", type=Path, default=PROJECT / "build", help="folder to build into (default: build)")
    options = parser.parse_args(argv)
    try:
        built = build.build(options.out.resolve(), say=lambda line: print(f"build: {line}", flush=True))
    except build.BuildError as error:
        print(f"check: {error}", file=sys.stderr)
        return 1
    steps: tuple[tuple[str, Callable[[], list[str] | None]], ...] = (
        ("generated files", generated_files),
        ("our rules on the template", lambda: our_rules(built.template)),
        ("state machines", state_machines),
        ("cfn-lint", lambda: cfn_lint(built.template)),
        ("asl-validator", asl_validator),
    )
    # Every step runs, whatever the ones before found.
    failed = [name for name, step in steps if _step(name, step)]
    return 1 if failed else 0


def _step(name: str, step: Callable[[], list[str] | None]) -> bool:
    """Run one step and say how it went; True when it found something."""
    begun = time.monotonic()
    found = step()
    outcome = "no Node here, left out" if found is None else f"{len(found)} problem(s)" if found else "ok"
    print(f"check: {name}: {outcome} ({time.monotonic() - begun:.1f} s)", flush=True)
    for problem in found or []:
        print(f"  {problem}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
