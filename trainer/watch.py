"""Everything that looks at the running script: its output, its metrics, its disk. Set up once it is running."""

from __future__ import annotations

from trainer.lines import Output

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from trainer.checkpoint_watch import CheckpointWatch
    from trainer.console import Console
    from trainer.disk import DiskWatch
    from trainer.layout import Layout
    from trainer.patterns import Patterns
    from trainer.reporter import Reporter
    from trainer.spec import Spec
    from trainer.tracking.tracking import Tracking


class Watch:
    """The observers of one script.

    `begin` is called as soon as the process exists, before anything that it prints is read: imports happen while the
    script's own interpreter starts.
    """

    def __init__(
        self,
        spec: Spec,
        layout: Layout,
        environ: Mapping[str, str],
        *,
        console: Console,
        tracking: Tracking | None,
    ) -> None:
        self._spec = spec
        self._layout = layout
        self._environ = environ
        self._console = console
        self._tracking = tracking
        self._reporter: Reporter | None = None
        self._patterns: Patterns | None = None
        self._disk: DiskWatch | None = None
        self._checkpoints: CheckpointWatch | None = None
        self.output = Output(console, limit=spec.log_bytes, observe=self._observe, wants=self._wants)

    def begin(self) -> None:
        """Starts looking."""
        from trainer.checkpoint_watch import CheckpointWatch
        from trainer.disk import DiskWatch
        from trainer.patterns import Patterns
        from trainer.reporter import Reporter

        self._reporter = Reporter(self._console, self._spec.parameters)
        if self._tracking is not None:
            self._tracking.serve(self._reporter)
        self._patterns = Patterns(
            self._spec.metric_definitions,
            reporter=self._reporter,
            log=self._tracking.log if self._tracking is not None else lambda _: None,
            console=self._console,
        )
        self._checkpoints = CheckpointWatch(self._layout.checkpoints, self._console)
        if self._spec.disk_bytes is not None:
            written = self._layout.written((self._environ.get("TMPDIR"), self._environ.get("HOME")))
            self._disk = DiskWatch(written, self._spec.disk_bytes)

    def check(self) -> str | None:
        """Why the script has to end, if it has to."""
        return self._disk.check() if self._disk is not None else None

    def close(self) -> None:
        """Sends what is left to send."""
        if self._checkpoints is not None:
            self._checkpoints.close()
        if self._disk is not None:
            self._disk.close()
        if self._reporter is not None:
            self._reporter.close()

    def latest_metrics(self) -> dict[str, Any]:
        """The last value of each metric."""
        return dict(self._reporter.latest()) if self._reporter is not None else {}

    def _wants(self, block: bytes) -> bool:
        return self._patterns is not None and self._patterns.wants(block)

    def _observe(self, line: str) -> None:
        if self._patterns is not None:
            self._patterns.observe(line)
