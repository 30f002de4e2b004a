"""Installs every part of the addition in the emulator."""

from __future__ import annotations

import os

from .cloudformation import CloudFormation
from .container_secrets import ContainerSecrets
from .containers import Containers
from .credentials import Credentials
from .forwarding import Forwarding
from .guard import Guard
from .health_checks import HealthChecks
from .load_balancer import LoadBalancer
from .registry import Registry
from .service_deployments import ServiceDeployments
from .service_scheduler import ServiceScheduler
from .upstream import Upstream


def install() -> None:
    """Changes the emulator in this process.

    The guard takes the credentials from the file that `DEPLOYER_EMULATOR_CREDENTIALS` names.
    """
    upstream = Upstream()
    place = os.environ["DEPLOYER_EMULATOR_CREDENTIALS"]
    guard = Guard(upstream, Credentials.read(place), place, os.environ["GATEWAY_PORT"])
    checks, _ = install_services(upstream)
    guard.install()
    checks.start()


def install_services(upstream: Upstream) -> tuple[HealthChecks, ServiceScheduler]:
    """Installs what the emulated services lack; the health checks are not started yet."""
    checks = HealthChecks(upstream)
    Registry(upstream).install()
    Containers(upstream).install()
    ContainerSecrets(upstream).install()
    load_balancer = LoadBalancer(upstream, checks)
    load_balancer.install()
    Forwarding(upstream).install()
    scheduler = ServiceScheduler(upstream, checks, load_balancer)
    scheduler.install()
    ServiceDeployments(upstream, scheduler).install()
    CloudFormation(upstream, scheduler).install()
    checks.on_answer = scheduler.on_answer
    return checks, scheduler
