"""The monitoring profile of docker-compose.yml: valid, shut in, on loopback, and never in the bot's way."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from tests.deploy.monitoring import ROOT

COMPOSE = ROOT / "docker-compose.yml"
MONITORING = ("prometheus", "alertmanager", "grafana")


def services() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return content


def test_only_the_profile_starts_them() -> None:
    found = {name for name, service in services().items() if service.get("profiles") == ["monitoring"]}
    assert found == {*MONITORING, "webhook"}


@pytest.mark.parametrize("name", MONITORING)
def test_a_service_has_no_power_it_does_not_need(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith("0:")
    assert service["restart"] == "unless-stopped"
    assert service["logging"] == services()["bot"]["logging"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert [volume for volume in service["volumes"] if volume.startswith((".", "$")) and not volume.endswith(":ro")] == []


@pytest.mark.parametrize("name", MONITORING)
def test_a_service_gives_way_to_the_bot(name: str) -> None:
    service = services()[name]
    assert service["oom_score_adj"] > 0
    assert service["cpu_shares"] < 1024
    assert "mem_limit" in service


@pytest.mark.parametrize("name", MONITORING)
def test_an_image_is_pinned_and_can_be_replaced(name: str) -> None:
    assert re.fullmatch(rf"\$\{{{name.upper()}_IMAGE:-[a-z/]+:v?\d+\.\d+\.\d+\}}", services()[name]["image"])


def test_alertmanager_knows_webhook_url_file() -> None:
    major, minor = map(int, re.findall(r":v(\d+)\.(\d+)\.", services()["alertmanager"]["image"])[0])
    assert (major, minor) >= (0, 27)


def test_nothing_that_watches_can_read_the_keys_of_the_exchange() -> None:
    for name in MONITORING:
        assert not [volume for volume in services()[name]["volumes"] if "SECRETS" in volume or "secrets" in volume]
        assert not {"GMO_API_KEY", "GMO_API_SECRET", "GMOBOT_CONTROL_TOKEN"} & set(services()[name].get("environment", {}))


def test_grafana_has_no_account_and_so_no_default_password() -> None:
    environment = services()["grafana"]["environment"]
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in environment


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="needs docker-compose")
@pytest.mark.parametrize("profiles", [(), ("monitoring",), ("monitoring", "emulator")], ids=lambda profiles: "+".join(profiles) or "none")
def test_compose_takes_the_file(profiles: tuple[str, ...]) -> None:
    options = [part for profile in profiles for part in ("--profile", profile)]
    done = subprocess.run(["docker-compose", *options, "config", "-q"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
