"""What a Job's podFailurePolicy says about a failed pod, as Kubernetes 1.34 reads it: the first rule that fits decides."""

from __future__ import annotations

from typing import Any, Final

from k8s_bridge.localcluster.field_errors import FieldErrors

Object = dict[str, Any]

COUNT, FAIL_JOB, IGNORE = "Count", "FailJob", "Ignore"
_ACTIONS: Final = (COUNT, FAIL_JOB, IGNORE)
_OPERATORS: Final = ("In", "NotIn")
_MOST_RULES: Final = 20


def judge(job: Object, pod: Object) -> tuple[str, str]:
    """(action, message) for a pod that has failed. Without a fitting rule it counts towards the backoff limit."""
    policy = job["spec"].get("podFailurePolicy") or {}
    status = pod.get("status") or {}
    if status.get("phase") != "Failed":
        return COUNT, ""
    for at, rule in enumerate(policy.get("rules") or ()):
        found = _fits(rule, status)
        if found:
            name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            return str(rule["action"]), f"{found.format(pod=name)} matching {rule['action']} rule at index {at}"
    return COUNT, ""


def _fits(rule: Object, status: Object) -> str:
    """In what the rule fits, empty when it does not."""
    if codes := rule.get("onExitCodes"):
        for key in ("initContainerStatuses", "containerStatuses"):
            for item in status.get(key) or ():
                code = ((item.get("state") or {}).get("terminated") or {}).get("exitCode")
                named = codes.get("containerName") in (None, item["name"])
                if code and named and (code in codes["values"]) == (codes["operator"] == "In"):
                    return f"Container {item['name']} for pod {{pod}} failed with exit code {code}"
    for pattern in rule.get("onPodConditions") or ():
        wanted = (pattern["type"], pattern.get("status") or "True")
        if any((item["type"], item["status"]) == wanted for item in status.get("conditions") or ()):
            return f"Pod {{pod}} has condition {pattern['type']}"
    return ""


def check(errors: FieldErrors, spec: Object) -> None:
    """Note what the API server would refuse in the policy."""
    policy = spec.get("podFailurePolicy")
    if policy is None:
        return
    path = "spec.podFailurePolicy"
    if spec["template"]["spec"]["restartPolicy"] != "Never":
        errors.invalid("spec.template.spec.restartPolicy", "OnFailure", "only Never is supported with podFailurePolicy")
    if spec.get("podReplacementPolicy") != "Failed":
        errors.unsupported("spec.podReplacementPolicy", spec.get("podReplacementPolicy"), ("Failed",))
    rules = policy.get("rules") or ()
    if len(rules) > _MOST_RULES:
        errors.invalid(f"{path}.rules", len(rules), f"must have at most {_MOST_RULES} items")
    for at, rule in enumerate(rules):
        _check_rule(errors, rule, f"{path}.rules[{at}]")


def _check_rule(errors: FieldErrors, rule: Object, path: str) -> None:
    if rule.get("action") not in _ACTIONS:
        errors.unsupported(f"{path}.action", rule.get("action"), _ACTIONS)
    codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
    if bool(codes) == bool(patterns):
        errors.invalid(path, "", "specifying exactly one of onExitCodes and onPodConditions is required")
    if codes:
        if codes.get("operator") not in _OPERATORS:
            errors.unsupported(f"{path}.onExitCodes.operator", codes.get("operator"), _OPERATORS)
        values = codes.get("values") or []
        if not values or (codes.get("operator") == "In" and 0 in values):
            errors.invalid(f"{path}.onExitCodes.values", values, "at least one value is required, and In takes no 0")
    for at, pattern in enumerate(patterns):
        if not pattern.get("type"):
            errors.required(f"{path}.onPodConditions[{at}].type")
        if pattern.get("status") not in ("True", "False", "Unknown"):
            errors.unsupported(
                f"{path}.onPodConditions[{at}].status", pattern.get("status"), ("False", "True", "Unknown")
            )
