"""Keeps the emulator to the user who started it.

By itself the emulator answers everybody who reaches it, lets every web page read its answers, and
starts containers that own the machine. Loopback keeps out neither web pages nor other users. Here,

- a request has to name this machine as its host (no DNS rebinding), to come from no web page, and
  to be signed with the credentials of this start. Docker's registry protocol takes a password
  derived from them instead;
- a request to a load balancer is for everybody, and reaches the service behind it and nothing else;
- a task gets what Fargate would give it, and the Docker engine is asked for nothing else;
- no program is started, and CloudFormation creates only what the emulator's services can hold.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import logging
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from .access import (
    Headers,
    RefusedError,
    host_name,
    is_load_balancer,
    is_this_machine,
    referrers_path,
    require_no_web_page,
)
from .containers import keep_image_volumes
from .credentials import REGISTRY_USER, Credentials
from .docker_calls import READING, forbidden_call, is_at
from .fargate import forbidden_in_task
from .sandbox import is_allowed_resource, refuse_programs
from .upstream import Record, Response, Upstream

log = logging.getLogger("guard")

Send = Callable[[Record], Awaitable[None]]
Receive = Callable[[], Awaitable[Record]]

# The largest request to an API: templates have at most 1 MB.
LARGEST_BODY = 16 << 20
HEALTH = "/_ministack/health"


class Guard:
    """Stands in front of the emulator's web application, and limits what is behind it."""

    def __init__(self, upstream: Upstream, credentials: Credentials, place: str, port: str) -> None:
        self.upstream, self.credentials = upstream, credentials
        self.place, self.port = place, port
        self.app, self.responses, self.sigv4 = upstream.app, upstream.responses, upstream.sigv4
        self.docker: Any = importlib.import_module("docker.api.client").APIClient
        # Those of a request that is not signed.
        self.account, self.region = self.responses.get_account_id(), self.responses.get_region()

    def install(self) -> None:
        replace, replace_handler = self.upstream.replace, self.upstream.replace_handler
        self.inner, self.app.app = self.app.app, self
        self.token = replace(self.upstream.ecr, "_get_authorization_token", self.on_token)
        self.register = replace(self.upstream.ecs, "_register_task_definition", self.on_register)
        handlers = self.upstream.handlers()
        for resource_type in [known for known in handlers if not is_allowed_resource(known)]:
            del handlers[resource_type]
        definition = "AWS::ECS::TaskDefinition"
        self.create = replace_handler(definition, "create", self.on_create)
        self.update = replace_handler(definition, "update", self.on_update)
        self.request = self.docker.request
        self.docker.request = self.docker_method()
        sys.addaudithook(refuse_programs)

    # --- Requests ---

    async def __call__(self, scope: Record, receive: Receive, send: Send) -> None:
        """Serves as the web application (ASGI)."""
        if scope["type"] == "websocket":
            # None of the emulator's services that are on has any.
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            await self.inner(scope, receive, send)
        else:
            try:
                await self.on_request(scope, receive, send)
            except RefusedError as refused:
                await self.refuse(scope, send, refused)

    async def on_request(self, scope: Record, receive: Receive, send: Send) -> None:
        headers, path = scope["headers"], scope["path"]
        host = host_name(headers)
        if is_load_balancer(host):
            await self.forward(scope, receive, send)
            return
        if not is_this_machine(host):
            raise RefusedError(403, "AccessDenied", f"the host {host} is not this machine")
        require_no_web_page(headers)
        authorization = self.joined(headers).get("authorization", "")
        if path == HEALTH and scope["method"] in READING:
            await self.answer(send, 200, "application/json", self.health(scope))
            return
        is_registry = self.app._is_ecr_registry_path(path)
        if not authorization.startswith("AWS4-") and is_registry:
            if not self.credentials.opens_registry(authorization):
                message = "log in with what GetAuthorizationToken gives"
                raise RefusedError(401, "UNAUTHORIZED", message)
        else:
            receive = await self.require_signature(scope, receive)
        if referrers_path(path) and scope["method"] not in READING:
            raise RefusedError(405, "UNSUPPORTED", "the list of referrers can only be read")
        await self.inner(scope, receive, without_cors(send))

    def joined(self, headers: Headers) -> dict[str, str]:
        """Returns the headers as the emulator reads them."""
        joined: dict[str, str] = {}
        for raw, value in headers:
            name, text = raw.decode("latin-1").lower(), self.sigv4.decode_header_value(value)
            joined[name] = f"{joined[name]}, {text}" if name in joined else text
        return joined

    def health(self, scope: Record) -> str:
        nonce = query_of(scope).get("nonce", [""])[0]
        proof = self.credentials.proof(nonce)
        return json.dumps({"edition": "guarded", "version": self.upstream.version, "proof": proof})

    async def require_signature(self, scope: Record, receive: Receive) -> Receive:
        """Refuses a request that is not signed with our credentials; returns its body to read."""
        headers, query = self.joined(scope["headers"]), query_of(scope)
        presigned = "authorization" not in headers
        if presigned:
            signature = self.sigv4.parse_query_signature(query)
            algorithm = "".join(query.get("X-Amz-Algorithm", []))
        else:
            signature = self.sigv4.parse_header_signature(headers)
            algorithm = headers["authorization"].split(" ")[0]
        only_ours = f"this emulator answers only to the credentials in `{self.place}`"
        if isinstance(signature, tuple) or algorithm != "AWS4-HMAC-SHA256":
            raise RefusedError(403, "MissingAuthenticationToken", only_ours)
        if not self.credentials.is_key_id(signature.access_key_id):
            raise RefusedError(403, "InvalidClientTokenId", only_ours)
        body = await read(receive)
        raw_path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
        claimed = headers.get("x-amz-content-sha256")
        # Other values, such as UNSIGNED-PAYLOAD, are the emulator's to judge.
        if (
            claimed
            and re.fullmatch("[0-9a-f]{64}", claimed)
            and claimed != hashlib.sha256(body).hexdigest()
        ):
            message = "the body is not the one that was signed"
            raise RefusedError(403, "SignatureDoesNotMatch", message)
        failure = self.sigv4.header_signature_failure(
            signature,
            self.credentials.secret,
            scope["method"],
            raw_path,
            query,
            headers,
            body,
            presigned=presigned,
        )
        if failure:
            raise RefusedError(403, failure[0], f"{failure[1]} ({only_ours})")
        rest = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Record:
            return rest.pop() if rest else await receive()

        return again

    async def forward(self, scope: Record, receive: Receive, send: Send) -> None:
        """Lets everybody reach the service behind a load balancer, and nothing else."""
        app = self.app
        send = app._with_date_header(send)
        headers = self.joined(scope["headers"])
        method, path = scope["method"], scope["path"]
        raw_path = scope["raw_path"].decode("latin-1") if scope.get("raw_path") else None
        app.set_request_client_ip((scope.get("client") or ("127.0.0.1",))[0])
        with self.responses.request_scope(self.account, self.region):
            try:
                body = await app._read_request_body(receive, method, headers)
            except app._RequestBodyDisconnected:
                return
            except app._IncompleteRequestBody as error:
                raise RefusedError(400, "IncompleteBody", "the body is not complete") from error
            response = await app._handle_alb_request(
                headers["host"],
                path,
                method,
                headers,
                body,
                query_of(scope),
                raw_query(scope),
                raw_path,
            )
            if response is None:
                message = "there is no load balancer of this name"
                raise RefusedError(404, "LoadBalancerNotFound", message)
            await app._send_if_handled(send, response, receive)

    async def refuse(self, scope: Record, send: Send, refused: RefusedError) -> None:
        """Answers in the form that the client understands."""
        # Not the headers, which may hold what is secret.
        log.warning("refused %s %s: %s", scope["method"], quote(scope["path"]), refused.code)
        if self.app._is_ecr_registry_path(scope["path"]):
            error = {"code": refused.code, "message": refused.message, "detail": None}
            content_type, text = "application/json", json.dumps({"errors": [error]})
        elif "x-amz-target" in self.joined(scope["headers"]):
            content_type = "application/x-amz-json-1.1"
            text = json.dumps({"__type": refused.code, "message": refused.message})
        else:
            message = refused.message.replace("&", "&amp;").replace("<", "&lt;")
            error_xml = (
                f"<Type>Sender</Type><Code>{refused.code}</Code><Message>{message}</Message>"
            )
            content_type = "text/xml"
            text = (
                f"<ErrorResponse><Error>{error_xml}</Error>"
                "<RequestId>guard</RequestId></ErrorResponse>"
            )
        await self.answer(send, refused.status, content_type, text)

    async def answer(self, send: Send, status: int, content_type: str, text: str) -> None:
        body = text.encode()
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        if status == 401:
            headers.append((b"www-authenticate", b'Basic realm="emulator"'))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    # --- Services ---

    def on_token(self, data: Record) -> Response:
        """Gives out the registry's password."""
        status, headers, body = self.token(data)
        answer = json.loads(body)
        login = f"{REGISTRY_USER}:{self.credentials.registry_password()}"
        for entry in answer["authorizationData"]:
            entry["authorizationToken"] = base64.b64encode(login.encode()).decode()
        return status, headers, json.dumps(answer).encode()

    def on_register(self, data: Record) -> Response:
        forbidden = forbidden_in_task(data)
        if forbidden:
            return self.responses.error_response_json("ClientException", refusal(forbidden), 400)
        return self.register(data)

    def on_create(self, logical_id: str, props: Record, stack_name: str) -> Any:
        require_allowed(props)
        return self.create(logical_id, props, stack_name)

    def on_update(
        self,
        physical_id: str,
        old_props: Record,
        new_props: Record,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Any:
        require_allowed(new_props)
        return self.update(physical_id, old_props, new_props, stack_name, logical_id)

    def docker_method(self) -> Callable[..., Any]:
        """Returns `on_docker` as a function, which Python turns into a method of the client."""

        def request(client: Any, method: str, url: str, **named: Any) -> Any:
            return self.on_docker(client, method, url, **named)

        return request

    def on_docker(self, client: Any, method: str, url: str, **named: Any) -> Any:
        """Makes a call of Docker's API if it is allowed, and logs in to the emulator's registry."""
        path = unquote(urlsplit(url).path)
        data = named.get("data")
        body = json.loads(data) if data else named.get("json") or {}
        forbidden = forbidden_call(method.upper(), path, body)
        if forbidden:
            raise PermissionError(f"the emulator does not ask Docker for {forbidden}")
        if path.endswith("/containers/create"):
            keep_image_volumes(body, lambda image: volumes_of(client, image))
            named["data"] = json.dumps(body)
        from_image = (named.get("params") or {}).get("fromImage")
        image = str(from_image or path.partition("/distribution/")[2])
        if image and is_at(image, self.port):
            login = {"username": REGISTRY_USER, "password": self.credentials.registry_password()}
            encoded = base64.urlsafe_b64encode(json.dumps(login).encode()).decode()
            named["headers"] = {**(named.get("headers") or {}), "X-Registry-Auth": encoded}
        return self.request(client, method, url, **named)


def volumes_of(client: Any, image: str) -> Record:
    """Returns the volumes that an image declares."""
    config: Record = client.inspect_image(image).get("Config") or {}
    return config.get("Volumes") or {}


def refusal(forbidden: str) -> str:
    return f"Fargate runs no task with {forbidden}, and neither does this emulator"


def require_allowed(properties: Record) -> None:
    forbidden = forbidden_in_task(properties)
    if forbidden:
        raise ValueError(refusal(forbidden))


def raw_query(scope: Record) -> str:
    query: bytes = scope.get("query_string", b"")
    return query.decode("latin-1")


def query_of(scope: Record) -> dict[str, list[str]]:
    return parse_qs(raw_query(scope), keep_blank_values=True)


def without_cors(send: Send) -> Send:
    """Removes the headers with which the emulator allows every web page to read its answers."""

    async def send_without(message: Record) -> None:
        if message["type"] == "http.response.start":
            prefix = b"access-control-"
            headers = message["headers"]
            kept = [pair for pair in headers if not pair[0].lower().startswith(prefix)]
            message = {**message, "headers": kept}
        await send(message)

    return send_without


async def read(receive: Receive) -> bytes:
    """Reads the body of a request to an API."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise RefusedError(400, "IncompleteBody", "the body is not complete")
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            message_text = f"a request has at most {LARGEST_BODY} bytes"
            raise RefusedError(413, "RequestEntityTooLarge", message_text)
        if not message.get("more_body", False):
            return bytes(body)
