"""The emulator's own code: its version, and everything this addition uses or replaces of it.

All of it is internal to the emulator and may change with any release. So a version other than
`VERSION`, or a function other than the one listed in `EXPECTED`, is an error at the start and
not a surprise later.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from collections.abc import Callable
from typing import Any

# The emulator's records (services, tasks, target groups, rules) are plain dictionaries.
Record = dict[str, Any]
# Status, headers and body of an answer.
Response = Any

VERSION = "1.5.33"

# By module: each name, and the parameters of those that are functions.
EXPECTED = {
    "app": """
        app(scope, receive, send)
        _handle_alb_request(host, path, method, headers, body, query_params, raw_query_string, raw_path)
        _read_request_body(receive, method, headers)
        _send_if_handled(send, response, receive, head)
        _is_ecr_registry_path(path)
        _with_date_header(send)
        set_request_client_ip(address)
        _RequestBodyDisconnected
        _IncompleteRequestBody
    """,
    "core.concurrency": """
        resource_lock(scope, key)
        spawn_background(fn, args, thread_name, kwargs)
    """,
    "core.responses": """
        error_response_json(code, message, status, extra, message_key, content_type)
        get_account_id()
        get_region()
        json_response(data, status, content_type)
        new_uuid()
        request_scope(account_id, region)
    """,
    "core.sigv4": """
        decode_header_value(value)
        header_signature_failure(signature, secret, method, raw_path, query_params, headers, body, presigned, explain)
        parse_header_signature(headers)
        parse_query_signature(query_params)
    """,
    "services.alb": """
        _ACTION_MAP
        _action_xml(a)
        _describe_rules(params)
        _describe_target_health(params)
        _error(code, message, status)
        _execute_actions(actions, method, path, headers, body, query_params, listener_port, lb_arn, target_host, raw_query_string, raw_path)
        _forward_to_tg(tg_arn, method, path, headers, body, query_params, raw_query_string, raw_path)
        _p(params, key, default)
        _parse_actions(params, prefix)
        _parse_member_list(params, prefix)
        _parse_targets_param(params, prefix)
        _proxy_http_target(target, tg, method, path, headers, body, query_params, raw_query_string)
        _rules
        _targets
        _tgs
        _xml(status, action, inner)
        set_targets_for_group(tg_arn, targets, previous_ids)
    """,
    "services.ecr": """
        _get_authorization_token(data)
        _images
        _parse_v2_path(path)
        _resolve_manifest(name, ref)
    """,
    "services.ecs": """
        _ACTION_MAP
        _SecretResolutionError
        _build_run_kwargs(cdef, td, env, port_bindings, ecs_network, host_mode, task_id, task_arn, ministack_net_ip, cluster_arn)
        _circuit_breaker_threshold(svc)
        _cleanup_task_resources(task, docker_client, extra_container)
        _cluster_name_from_arn(arn)
        _complete_service_deployment(cluster_name, svc_key, expected_deployment_id)
        _create_service(data)
        _delete_service(data)
        _deployment_for_task(svc, task)
        _describe_service_deployments(data)
        _describe_service_revisions(data)
        _get_docker()
        _iso()
        _list_service_deployments(data)
        _mark_task_stopped(task_arn, task, reason, stop_code, exit_code)
        _primary_deployment(svc)
        _reconcile_service_tasks(cluster_name, svc_key)
        _record_service_task_failure(task, digest_resolution_failed)
        _record_service_task_healthy(svc_key, task)
        _refresh_service_state(cluster_name, group)
        _register_task_definition(data)
        _resolve_cluster_name(ref)
        _resolve_container_secrets(cdef)
        _resolve_service_ref(ref)
        _run_task(data)
        _schedule_service_deployment_completion(cluster_name, svc_key, account_id, region, healthy_task)
        _services
        _stop_task(data)
        _sync_service_targets(cluster_name, svc)
        _task_defs
        _task_ip(task)
        _tasks
        _ts_to_epoch(value)
        _update_service(data)
    """,
    "services.secretsmanager": """
        _resolve(secret_id, use_arn_scope)
        resolve_secret_string(secret_id, version_stage, version_id)
    """,
    "services.ssm": """
        resolve_parameter_value(name_or_arn, version, decrypt)
    """,
    "services.cloudformation": """
        _stacks
    """,
    "services.cloudformation.engine": """
        _extract_deps(resource_def, all_resource_names)
    """,
    "services.cloudformation.handlers": """
        _resource_metadata_xml(stack, logical_id)
    """,
    "services.cloudformation.provisioners": """
        _REPLACING_PROPERTIES
        _RESOURCE_HANDLERS
        _cfn_wait_condition_definition(stack_name, logical_id)
        _ecs_deployment_configuration(props)
        _elbv2_listener_actions(props, lb_arn, prop)
        _normalize_container_defs(cdefs)
    """,
    "services.cloudformation.stacks": """
        _runs_on_worker_thread(resource_type)
    """,
}

# Handlers of CloudFormation resources, with their parameters.
EXPECTED_HANDLERS = {
    ("AWS::CloudFormation::WaitCondition", "create"): "logical_id, props, stack_name",
    ("AWS::ECS::Service", "create"): "logical_id, props, stack_name",
    ("AWS::ECS::Service", "update"): "physical_id, old_props, new_props, stack_name",
    ("AWS::ECS::TaskDefinition", "create"): "logical_id, props, stack_name",
    ("AWS::ECS::TaskDefinition", "update"): (
        "physical_id, old_props, new_props, stack_name, logical_id"
    ),
}


class UnexpectedEmulatorError(Exception):
    """The emulator is not the one that this addition was made for."""

    def __init__(self, version: str, differences: list[str]) -> None:
        found = "; ".join(differences)
        super().__init__(
            f"this addition changes ministack {VERSION} and does not support version {version}: {found}"
        )


class Upstream:
    """The modules of the emulator, checked against what is expected of them."""

    def __init__(self) -> None:
        self.version = importlib.metadata.version("ministack")
        self.app = load("app")
        self.concurrency = load("core.concurrency")
        self.responses = load("core.responses")
        self.sigv4 = load("core.sigv4")
        self.alb = load("services.alb")
        self.ecr = load("services.ecr")
        self.ecs = load("services.ecs")
        self.secretsmanager = load("services.secretsmanager")
        self.ssm = load("services.ssm")
        self.engine = load("services.cloudformation.engine")
        self.handlers_of_stacks = load("services.cloudformation.handlers")
        self.provisioners = load("services.cloudformation.provisioners")
        self.stacks = load("services.cloudformation.stacks")
        self.cloudformation = load("services.cloudformation")
        found = list(self.differences())
        if self.version != VERSION:
            found.insert(0, "the version is another")
        if found:
            raise UnexpectedEmulatorError(self.version, found)

    def differences(self) -> list[str]:
        """Returns how the emulator differs from what is expected, one entry for each function."""
        found = []
        for module, lines in EXPECTED.items():
            for line in lines.split("\n"):
                name, has_parameters, rest = line.strip().partition("(")
                if not name:
                    continue
                expected = rest.removesuffix(")") if has_parameters else None
                value = getattr(load(module), name, None)
                found += difference(f"{module}.{name}", value, expected)
        for (resource_type, operation), expected in EXPECTED_HANDLERS.items():
            handler = (self.handlers().get(resource_type) or {}).get(operation)
            found += difference(f"{operation} of {resource_type}", handler, expected)
        return found

    def handlers(self) -> dict[str, Record]:
        """Returns what creates, updates and deletes each type of resource in CloudFormation."""
        handlers: dict[str, Record] = getattr(self.provisioners, "_RESOURCE_HANDLERS", {})
        return handlers

    def replace(self, module: Any, name: str, new: Callable[..., Any]) -> Any:
        """Puts `new` in place of a function, also where it handles an action; returns the old one.

        The API's table of actions holds the functions themselves, so both have to change.
        """
        old = getattr(module, name)
        setattr(module, name, new)
        actions = getattr(module, "_ACTION_MAP", {})
        for action in [action for action, handler in actions.items() if handler is old]:
            actions[action] = new
        return old

    def replace_handler(self, resource_type: str, operation: str, new: Callable[..., Any]) -> Any:
        """Puts `new` in place of a resource type's handler; returns the old one."""
        handlers = self.handlers()[resource_type]
        old, handlers[operation] = handlers[operation], new
        return old


def load(module: str) -> Any:
    return importlib.import_module(f"ministack.{module}")


def difference(name: str, value: Any, expected: str | None) -> list[str]:
    """Returns how something of the emulator differs, in at most one entry.

    `expected` holds the names of a function's parameters, and is `None` for anything else.
    """
    if value is None:
        return [f"{name} is missing"]
    if expected is None:
        return []
    actual = ", ".join(inspect.signature(value).parameters) if callable(value) else "none"
    return [] if actual == expected else [f"{name} takes ({actual}) instead of ({expected})"]
