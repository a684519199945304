"""Models that are deployed by themselves."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.bootstrap.rollouts import Rollouts

if TYPE_CHECKING:
    from chalicelib.auto_deployment.deploying import AutoDeploying
    from chalicelib.auto_deployment.service import PolicyService


class AutoDeployments(Rollouts):
    """Models that are deployed by themselves."""

    @cached_property
    def deployment_policies(self) -> PolicyService:
        from chalicelib.auto_deployment.service import PolicyService
        from chalicelib.auto_deployment.store import PolicyStore

        return PolicyService(PolicyStore(self.model_store.table), self.now, self.audit)

    @cached_property
    def auto_deploying(self) -> AutoDeploying:
        from chalicelib.auto_deployment.deploying import AutoDeploying

        return AutoDeploying(
            models=self.model_store,
            policies=self.deployment_policies,
            places=self.deployment_store,
            deployments=self.deployments,
            rollouts=self.rollouts,
            now=self.now,
        )
