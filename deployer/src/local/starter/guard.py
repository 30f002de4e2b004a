"""Keeps the emulator to the user who started it; made for the version that `requirements.txt` pins.

By itself the emulator answers everybody who reaches it, lets every web page read its answers, and starts containers that
own the machine. Loopback keeps out neither web pages nor other users. Here,

- a request has to name this machine as its host (no DNS rebinding), to come from no web page, and to be signed with the
  credentials of this start. Docker's registry protocol takes a password made of them instead;
- a request to a load balancer is for everybody, and reaches the service behind it and nothing else;
- a task gets what Fargate would give it, and the Docker engine is asked for nothing else;
- no program is started, and CloudFormation makes only what the emulator's services can hold.
"""

from __future__ import annotations

import base64
import binascii
import configparser
import hashlib
import hmac
import importlib
import importlib.metadata
import ipaddress
import json
import logging
import os
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

log = logging.getLogger("guard")

Record = dict[str, Any]
Headers = list[tuple[bytes, bytes]]
Send = Callable[[Record], Awaitable[None]]
Receive = Callable[[], Awaitable[Record]]

# The largest request to an API: templates have at most 1 MB.
LARGEST_BODY = 16 << 20
HEALTH = "/_ministack/health"
# A user name that Docker sends and Amazon ECR asks for.
REGISTRY_USER = "AWS"


class Refused(Exception):
    """A request that gets nothing, and why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


# --- Who asks ---


def host_name(headers: Headers) -> str:
    """Returns the host that a request names, without the port; exactly one has to be named."""
    hosts = [value.decode("latin-1") for name, value in headers if name.lower() == b"host"]
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?", hosts[0]) if len(hosts) == 1 else None
    if match is None:
        raise Refused(400, "InvalidHost", "one valid Host header is needed")
    return match[1].lower()


def is_this_machine(host: str) -> bool:
    """Returns whether a host is a loopback address or `localhost`: any other name may be an attacker's that leads here."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_load_balancer(host: str) -> bool:
    return host.endswith((".alb.localhost", ".elb.amazonaws.com"))


def require_no_web_page(headers: Headers) -> None:
    """Refuses what a browser sends for a page: none belongs to the emulator."""
    for name, value in headers:
        name = name.lower()
        if name == b"origin" or (name == b"sec-fetch-site" and value.lower() not in (b"none", b"same-origin")):
            raise Refused(403, "AccessDenied", f"web pages have no access ({name.decode()}: {value.decode('latin-1')})")


class Credentials:
    """The credentials of this start."""

    def __init__(self, key_id: str, secret: str) -> None:
        self.key_id, self.secret = key_id, secret

    @classmethod
    def read(cls, path: str) -> Credentials:
        file = configparser.ConfigParser(interpolation=None)
        with open(path, encoding="ascii") as text:
            file.read_file(text)
        credentials = cls(file["default"]["aws_access_key_id"], file["default"]["aws_secret_access_key"])
        if len(credentials.key_id) < 16 or len(credentials.secret) < 32:
            raise ValueError(f"the credentials in `{path}` are too short")
        return credentials

    def proof(self, nonce: str) -> str:
        """Shows that this is the emulator that was started with these credentials, without sending them."""
        return hashlib.sha256(f"health:{nonce}:{self.secret}".encode()).hexdigest()

    def registry_password(self) -> str:
        """Another secret for Docker, which keeps it in a file."""
        return hmac.new(self.secret.encode(), b"registry", hashlib.sha256).hexdigest()

    def opens_registry(self, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        wanted = f"{REGISTRY_USER}:{self.registry_password()}".encode()
        return scheme.lower() == "basic" and hmac.compare_digest(given, wanted)

    def is_key_id(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.key_id.encode())


# --- What a task may have ---


def lowered(value: Any) -> Any:
    """The same with keys in lower case: the API and CloudFormation write them differently, and the emulator reads both."""
    if isinstance(value, dict):
        return {str(key).lower(): lowered(inner) for key, inner in value.items()}
    return [lowered(inner) for inner in value] if isinstance(value, list) else value


def forbidden_in_task(definition: Record) -> str | None:
    """Returns what Fargate would not run in a task definition: it is what would give a container the machine."""
    definition = lowered(definition)
    if (definition.get("networkmode") or "bridge") != "awsvpc":
        return "a network mode other than awsvpc"
    if (definition.get("pidmode") or "task") != "task":
        return "pidMode other than task"
    if definition.get("ipcmode"):
        return "ipcMode"
    for volume in definition.get("volumes") or []:
        host = volume.get("host") or {}
        if host.get("sourcepath"):
            return "a volume of the host"
        kinds = {key for key, value in volume.items() if value} - {"name", "host", "efsvolumeconfiguration"}
        if kinds:
            return f"a volume with {min(kinds)}"
    for container in definition.get("containerdefinitions") or []:
        linux = container.get("linuxparameters") or {}
        added = (linux.get("capabilities") or {}).get("add") or []
        if container.get("privileged"):
            return "a privileged container"
        if linux.get("devices"):
            return "devices of the host"
        if set(added) - {"SYS_PTRACE"}:
            return f"added capabilities ({', '.join(map(str, added))})"
        if container.get("dockersecurityoptions"):
            return "dockerSecurityOptions"
    return None


# --- What is asked of the Docker engine ---

READING = ("GET", "HEAD")
CALLS = [
    ("POST", r"/containers/create"),
    ("POST", r"/containers/[^/]+/(start|stop|kill|wait)"),
    ("DELETE", r"/containers/[^/]+"),
    ("POST", r"/images/create"),
    ("POST", r"/images/.+/tag"),
]
# Of a container's settings on this machine, those that the emulator needs; `None` where any value will do.
HOST_CONFIG: dict[str, tuple[Any, ...] | None] = {
    "NetworkMode": ("default", "bridge"),
    "ExtraHosts": None,
    "CapAdd": (["SYS_PTRACE"],),
}


def forbidden_call(method: str, path: str, body: Any) -> str | None:
    """Returns why this call of Docker's API is not made."""
    path = re.sub(r"^/v[0-9.]+", "", path)
    if method in READING:
        return None
    if not any(method == allowed and re.fullmatch(pattern, path) for allowed, pattern in CALLS):
        return f"{method} {path}"
    return forbidden_container(body) if path == "/containers/create" else None


def forbidden_container(config: Record) -> str | None:
    for key, value in (config.get("HostConfig") or {}).items():
        allowed = HOST_CONFIG.get(key, ())
        if value and allowed is not None and value not in allowed:
            return f"a container with {key} {value}"
    if config.get("NetworkingConfig"):
        return "a container in another network"
    if (config.get("Labels") or {}).get("ministack") != "ecs":
        return "a container that is no task"
    return None


def is_at(reference: str, port: str) -> bool:
    """Returns whether an image is in the emulator's registry."""
    return reference.split("/", 1)[0] in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}")


# --- What is made and started ---

# Namespaces of resource types that the emulator's services can hold. It knows more, and some of those run programs.
NAMESPACES = "ApplicationAutoScaling Budgets CloudWatch EC2 ECR ECS ElasticLoadBalancingV2 IAM Logs SNS".split()
PROGRAM_EVENTS = ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.system", "os.fork", "os.forkpty", "pty.spawn")


def is_made(resource_type: str) -> bool:
    parts = resource_type.split("::")
    return len(parts) == 3 and parts[0] == "AWS" and parts[1] in NAMESPACES


def is_credential_helper(program: Any) -> bool:
    """Docker's library may ask one for the login to a registry on the network."""
    name = os.path.basename(os.fsdecode(program)) if isinstance(program, (str, bytes, os.PathLike)) else ""
    return name.startswith("docker-credential-")


def refuse_programs(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook: no program is started."""
    if event in PROGRAM_EVENTS and not (arguments and is_credential_helper(arguments[0])):
        # As where the program may not be run: what can do without it does.
        raise PermissionError(f"the emulator starts no programs ({event})")


# --- All of it around the emulator ---


class Guard:
    """Stands in front of the emulator's web application, and changes what is behind it."""

    def __init__(self, credentials: Credentials, place: str, port: str) -> None:
        self.credentials, self.place, self.port = credentials, place, port
        self.application: Any = importlib.import_module("ministack.app")
        self.responses: Any = importlib.import_module("ministack.core.responses")
        self.sigv4: Any = importlib.import_module("ministack.core.sigv4")
        self.ecr: Any = importlib.import_module("ministack.services.ecr")
        self.ecs: Any = importlib.import_module("ministack.services.ecs")
        self.provisioners: Any = importlib.import_module("ministack.services.cloudformation.provisioners")
        self.docker: Any = importlib.import_module("docker.api.client").APIClient
        self.version = importlib.metadata.version("ministack")
        # Those of a request that is not signed.
        self.account, self.region = self.responses.get_account_id(), self.responses.get_region()

    def install(self) -> None:
        """Changes the emulator; whatever is missing of it is an error, since nothing may stay open."""
        self.inner, self.application.app = self.application.app, self
        # Used only when a request comes: missing, it would be found too late.
        for needed in ("_handle_alb_request", "_read_request_body", "_send_if_handled", "_is_ecr_registry_path"):
            getattr(self.application, needed)
        self.token, self.ecr._get_authorization_token = self.ecr._get_authorization_token, self.on_token
        actions = self.ecs._ACTION_MAP
        self.register, actions["RegisterTaskDefinition"] = actions["RegisterTaskDefinition"], self.on_register
        handlers = self.provisioners._RESOURCE_HANDLERS
        for resource_type in [known for known in handlers if not is_made(known)]:
            del handlers[resource_type]
        definition = handlers["AWS::ECS::TaskDefinition"]
        self.create, definition["create"] = definition["create"], self.on_create
        self.update, definition["update"] = definition["update"], self.on_update
        self.request = self.docker.request
        guard = self
        self.docker.request = lambda client, *arguments, **named: guard.on_docker(client, *arguments, **named)
        sys.addaudithook(refuse_programs)

    # --- Requests ---

    async def __call__(self, scope: Record, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # None of the emulator's services that are on has any.
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            await self.inner(scope, receive, send)
        else:
            try:
                await self.on_request(scope, receive, send)
            except Refused as refused:
                await self.refuse(scope, send, refused)

    async def on_request(self, scope: Record, receive: Receive, send: Send) -> None:
        headers, path = scope["headers"], scope["path"]
        host = host_name(headers)
        if is_load_balancer(host):
            await self.forward(scope, receive, send)
            return
        if not is_this_machine(host):
            raise Refused(403, "AccessDenied", f"the host {host} is not this machine")
        require_no_web_page(headers)
        authorization = self.joined(headers).get("authorization", "")
        if path == HEALTH and scope["method"] in READING:
            await self.answer(send, 200, "application/json", self.health(scope))
            return
        if not authorization.startswith("AWS4-") and self.application._is_ecr_registry_path(path):
            if not self.credentials.opens_registry(authorization):
                raise Refused(401, "UNAUTHORIZED", "log in with what GetAuthorizationToken gives")
        else:
            receive = await self.require_signature(scope, receive)
        await self.inner(scope, receive, self.without_cors(send))

    def joined(self, headers: Headers) -> dict[str, str]:
        """The headers as the emulator reads them."""
        joined: dict[str, str] = {}
        for raw, value in headers:
            name, text = raw.decode("latin-1").lower(), self.sigv4.decode_header_value(value)
            joined[name] = f"{joined[name]}, {text}" if name in joined else text
        return joined

    def health(self, scope: Record) -> str:
        nonce = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("nonce", [""])[0]
        return json.dumps({"edition": "guarded", "version": self.version, "proof": self.credentials.proof(nonce)})

    async def require_signature(self, scope: Record, receive: Receive) -> Receive:
        """Refuses a request that is not signed with our credentials; returns where to read its body again."""
        headers = self.joined(scope["headers"])
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        presigned = "authorization" not in headers
        parse = self.sigv4.parse_query_signature if presigned else self.sigv4.parse_header_signature
        signature = parse(query if presigned else headers)
        only_ours = f"this emulator answers only to the credentials in `{self.place}`"
        algorithm = "".join(query.get("X-Amz-Algorithm", [])) if presigned else headers["authorization"].split(" ")[0]
        if isinstance(signature, tuple) or algorithm != "AWS4-HMAC-SHA256":
            raise Refused(403, "MissingAuthenticationToken", only_ours)
        if not self.credentials.is_key_id(signature.access_key_id):
            raise Refused(403, "InvalidClientTokenId", only_ours)
        body = await read(receive)
        raw_path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
        claimed = headers.get("x-amz-content-sha256")
        if claimed and re.fullmatch("[0-9a-f]{64}", claimed) and claimed != hashlib.sha256(body).hexdigest():
            raise Refused(403, "SignatureDoesNotMatch", "the body is not the one that was signed")
        failure = self.sigv4.header_signature_failure(
            signature, self.credentials.secret, scope["method"], raw_path, query, headers, body, presigned=presigned
        )
        if failure:
            raise Refused(403, failure[0], f"{failure[1]} ({only_ours})")
        rest = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Record:
            return rest.pop() if rest else await receive()

        return again

    async def forward(self, scope: Record, receive: Receive, send: Send) -> None:
        """Lets everybody reach the service behind a load balancer, and nothing beside it."""
        application = self.application
        send = application._with_date_header(send)
        headers = self.joined(scope["headers"])
        method, path, query = scope["method"], scope["path"], scope.get("query_string", b"").decode("latin-1")
        raw_path = scope["raw_path"].decode("latin-1") if scope.get("raw_path") else None
        application.set_request_client_ip((scope.get("client") or ("127.0.0.1",))[0])
        with self.responses.request_scope(self.account, self.region):
            try:
                body = await application._read_request_body(receive, method, headers)
            except application._RequestBodyDisconnected:
                return
            except application._IncompleteRequestBody as error:
                raise Refused(400, "IncompleteBody", "the body is not complete") from error
            response = await application._handle_alb_request(
                headers["host"], path, method, headers, body, parse_qs(query, keep_blank_values=True), query, raw_path
            )
            if response is None:
                raise Refused(404, "LoadBalancerNotFound", "there is no load balancer of this name")
            await application._send_if_handled(send, response, receive)

    def without_cors(self, send: Send) -> Send:
        """The emulator allows every web page to read its answers."""

        async def send_without(message: Record) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if not pair[0].lower().startswith(b"access-control-")]
                message = {**message, "headers": kept}
            await send(message)

        return send_without

    async def refuse(self, scope: Record, send: Send, refused: Refused) -> None:
        # Not the headers, which may hold what is secret.
        log.warning("refused %s %s: %s", scope["method"], quote(scope["path"]), refused.code)
        headers = self.joined(scope["headers"])
        if self.application._is_ecr_registry_path(scope["path"]):
            error = {"code": refused.code, "message": refused.message, "detail": None}
            await self.answer(send, refused.status, "application/json", json.dumps({"errors": [error]}))
        elif "x-amz-target" in headers:
            text = json.dumps({"__type": refused.code, "message": refused.message})
            await self.answer(send, refused.status, "application/x-amz-json-1.1", text)
        else:
            message = refused.message.replace("&", "&amp;").replace("<", "&lt;")
            error = f"<Error><Type>Sender</Type><Code>{refused.code}</Code><Message>{message}</Message></Error>"
            text = f"<ErrorResponse>{error}<RequestId>guard</RequestId></ErrorResponse>"
            await self.answer(send, refused.status, "text/xml", text)

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

    def on_token(self, data: Record) -> Any:
        """Gives out the registry's password."""
        status, headers, body = self.token(data)
        answer = json.loads(body)
        token = base64.b64encode(f"{REGISTRY_USER}:{self.credentials.registry_password()}".encode()).decode()
        for entry in answer["authorizationData"]:
            entry["authorizationToken"] = token
        return status, headers, json.dumps(answer).encode()

    def on_register(self, data: Record) -> Any:
        forbidden = forbidden_in_task(data)
        if forbidden:
            message = f"Fargate runs no task with {forbidden}, and neither does this emulator"
            return self.responses.error_response_json("ClientException", message, 400)
        return self.register(data)

    def on_create(self, logical_id: str, properties: Record, *arguments: Any, **named: Any) -> Any:
        require_allowed(properties)
        return self.create(logical_id, properties, *arguments, **named)

    def on_update(self, physical_id: str, old: Record, new: Record, *arguments: Any, **named: Any) -> Any:
        require_allowed(new)
        return self.update(physical_id, old, new, *arguments, **named)

    def on_docker(self, client: Any, method: str, url: str, **named: Any) -> Any:
        """Asks the Docker engine, if that may be asked, and logs in to the emulator's own registry."""
        path = unquote(urlsplit(url).path)
        body = named.get("data")
        forbidden = forbidden_call(method.upper(), path, json.loads(body) if body else named.get("json") or {})
        if forbidden:
            raise PermissionError(f"the emulator does not ask Docker for {forbidden}")
        image = str((named.get("params") or {}).get("fromImage") or path.partition("/distribution/")[2])
        if image and is_at(image, self.port):
            login = {"username": REGISTRY_USER, "password": self.credentials.registry_password()}
            encoded = base64.urlsafe_b64encode(json.dumps(login).encode()).decode()
            named["headers"] = {**(named.get("headers") or {}), "X-Registry-Auth": encoded}
        return self.request(client, method, url, **named)


def require_allowed(properties: Record) -> None:
    forbidden = forbidden_in_task(properties)
    if forbidden:
        raise ValueError(f"Fargate runs no task with {forbidden}, and neither does this emulator")


async def read(receive: Receive) -> bytes:
    """Reads the body of a request to an API."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused(400, "IncompleteBody", "the body is not complete")
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            raise Refused(413, "RequestEntityTooLarge", f"a request has at most {LARGEST_BODY} bytes")
        if not message.get("more_body", False):
            return bytes(body)


def install() -> None:
    """Guards the emulator with the credentials in the file that `DEPLOYER_EMULATOR_CREDENTIALS` names."""
    place = os.environ["DEPLOYER_EMULATOR_CREDENTIALS"]
    Guard(Credentials.read(place), place, os.environ["GATEWAY_PORT"]).install()
