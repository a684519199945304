"""Where a policy says Resource "*": only because AWS offers nothing narrower for that action.

The assertions read this file: a statement with Resource "*" may hold these actions and no other. Each entry names the page
of AWS's Service Authorization Reference (https://docs.aws.amazon.com/service-authorization/latest/reference/) that shows
the action without a resource type, or the condition that confines it instead.
"""

from __future__ import annotations

UNCONFINABLE: dict[str, str] = {
    "batch:DescribeJobs": "list_awsbatch: no resource type; it only reads",
    "batch:ListJobs": "list_awsbatch: no resource type; it only reads",
    "batch:ListServiceJobs": "list_awsbatch: no resource type; it only reads",
    "batch:DescribeServiceJob": "list_awsbatch: no resource type; it only reads",
    "batch:DescribeJobQueues": "list_awsbatch: no resource type; it only reads",
    "batch:DescribeServiceEnvironments": "list_awsbatch: no resource type; it only reads",
    "batch:DescribeJobDefinitions": "list_awsbatch: no resource type; it only reads",
    "sagemaker:ListEndpoints": "list_amazonsagemaker: no resource type; it only reads",
    "sagemaker:ListTrainingJobs": "list_amazonsagemaker: no resource type; it only reads",
    "application-autoscaling:DescribeScalableTargets": "list_awsapplicationautoscaling: no resource type; it only reads",
    "application-autoscaling:DescribeScalingPolicies": "as application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingActivities": "as application-autoscaling:DescribeScalableTargets",
    "servicequotas:ListServiceQuotas": "list_servicequotas: no resource type; it only reads",
    "servicequotas:GetServiceQuota": "as servicequotas:ListServiceQuotas",
    "ecr:GetAuthorizationToken": "list_amazonelasticcontainerregistry: no resource type",
    "cloudwatch:GetMetricData": "list_amazoncloudwatch: no resource type; it only reads",
    "cloudwatch:DescribeAlarms": "list_amazoncloudwatch: composite alarms are only described under *; it only reads",
    "cloudwatch:PutMetricData": "list_amazoncloudwatch: no resource type; cloudwatch:namespace confines it",
    "logs:CreateLogDelivery": "Step Functions logging (sfn docs, cw-logs): vended log deliveries have no resource type",
    "logs:GetLogDelivery": "as logs:CreateLogDelivery",
    "logs:UpdateLogDelivery": "as logs:CreateLogDelivery",
    "logs:DeleteLogDelivery": "as logs:CreateLogDelivery",
    "logs:ListLogDeliveries": "as logs:CreateLogDelivery",
    "logs:PutResourcePolicy": "Step Functions logging: log resource policies belong to the account, not to a resource",
    "logs:DescribeResourcePolicies": "as logs:PutResourcePolicy",
    "logs:DescribeLogGroups": "Step Functions logging: AWS's documented policy; it only reads",
}

MUST_BE_CONDITIONED = {"cloudwatch:PutMetricData": "cloudwatch:namespace"}
"""Of those above, the ones for which the listed condition key takes the place of the resource."""
