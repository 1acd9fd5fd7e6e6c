"""The manifests of ``deploy/kubernetes`` are valid, and what runs there is guarded as under Compose."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gmobot.config import Health, load
from gmobot.secrets import DEFAULT_DIRECTORY, _mode_warning

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.29", "1.37")
"""Of Kubernetes: the first that knows every word used, and the newest whose schema is at hand."""

MANIFESTS = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def pod(name: str = "deployment.yaml") -> Any:
    manifest = read(name)
    return manifest["spec"]["template"]["spec"] if manifest["kind"] == "Deployment" else manifest["spec"]


def container(name: str = "deployment.yaml") -> Any:
    (only,) = pod(name)["containers"]
    return only


def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["bot"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MANIFESTS)
def test_every_manifest_is_what_kubernetes_takes(name: str, version: str) -> None:
    assert kubernetes_validate.validate(read(name), version, strict=True) == version


def test_the_schema_sees_a_misspelt_word() -> None:
    wrong = read("deployment.yaml")
    wrong["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFileSystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_every_manifest_but_the_one_by_hand_is_applied() -> None:
    assert sorted(read("kustomization.yaml")["resources"]) == [name for name in MANIFESTS if name != "by-hand.yaml"]
    assert read("kustomization.yaml")["namespace"] == read("namespace.yaml")["metadata"]["name"]


def test_one_bot_at_a_time() -> None:
    spec = read("deployment.yaml")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert read("storage.yaml")["spec"]["accessModes"] == ["ReadWriteOncePod"]


@pytest.mark.parametrize("name", ["deployment.yaml", "by-hand.yaml"])
def test_it_is_guarded_as_under_compose(name: str) -> None:
    bot, guarded, whole = compose(), container(name)["securityContext"], pod(name)["securityContext"]
    assert guarded["capabilities"] == {"drop": bot["cap_drop"]} == {"drop": ["ALL"]}
    assert guarded["readOnlyRootFilesystem"] is bot["read_only"] is True
    assert "no-new-privileges:true" in bot["security_opt"]
    assert guarded["allowPrivilegeEscalation"] is guarded["privileged"] is False
    assert bot["user"] == "${GMOBOT_UID:-1000}:${GMOBOT_GID:-1000}"
    assert (whole["runAsNonRoot"], whole["runAsUser"], whole["runAsGroup"]) == (True, 1000, 1000)
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}  # Docker's own is what Compose has.
    assert pod(name)["automountServiceAccountToken"] is pod(name)["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod(name).keys()


def test_it_ends_within_the_same_grace() -> None:
    assert f"{pod()['terminationGracePeriodSeconds']}s" == compose()["stop_grace_period"]


def test_the_same_folders_are_mounted_and_only_var_and_tmp_can_be_written() -> None:
    mounted = {mount["mountPath"]: mount.get("readOnly", False) for mount in container()["volumeMounts"]}
    targets = re.findall(r"(?m)^(?:\.\S+?|\$\{\S+?\}):(/\S+?)(:ro)?$", "\n".join(compose()["volumes"]))
    under_compose = {target: bool(read_only) for target, read_only in targets}
    assert mounted == under_compose | {"/tmp": False}
    assert [path for path, read_only in mounted.items() if not read_only] == ["/app/var", "/tmp"]
    (tmp,) = (volume["emptyDir"] for volume in pod()["volumes"] if volume["name"] == "tmp")
    assert tmp == {"medium": "Memory", "sizeLimit": "256Mi"}
    assert "/tmp:mode=1777,size=256m" in compose()["tmpfs"]


def test_secrets_are_files_for_the_bots_group_alone(tmp_path: Path) -> None:
    (secret,) = (volume["secret"] for volume in pod()["volumes"] if volume["name"] == "secrets")
    (mount,) = (mount for mount in container()["volumeMounts"] if mount["name"] == "secrets")
    assert Path(mount["mountPath"]) == DEFAULT_DIRECTORY
    assert "subPath" not in mount  # A file by its subPath never learns of a new key.
    assert secret["defaultMode"] == 0o440
    assert pod()["securityContext"]["fsGroup"] == pod()["securityContext"]["runAsGroup"]
    (tmp_path / "key").write_text("x")
    (tmp_path / "key").chmod(secret["defaultMode"])
    assert _mode_warning(tmp_path / "key") is None
    names = [variable["name"] for variable in container()["env"]]
    assert not [name for name in names if "KEY" in name or "SECRET" in name or "TOKEN" in name or "WEBHOOK" in name]
    assert "envFrom" not in container()


def test_probes_ask_by_a_name_the_bot_answers_to() -> None:
    asked = {name: container()[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: probe["path"] for name, probe in asked.items()} == {"startup": "/livez", "liveness": "/livez", "readiness": "/healthz"}
    for probe in asked.values():
        assert probe["port"] == container()["ports"][0]["name"] == "http"
        ((header, host),) = ((row["name"], row["value"]) for row in probe["httpHeaders"])
        assert header == "Host"
        assert host in Health().allowed_hosts


def test_the_bot_reads_its_environment_and_its_configuration(tmp_path: Path) -> None:
    given = {variable["name"]: variable["value"] for variable in container()["env"]}
    file = tmp_path / "config.yaml"
    file.write_text(read("configmap.yaml")["data"][Path(given["GMOBOT_CONFIG"]).name], encoding="utf-8")
    config = load(file, environ=given).config
    assert config.hash() == load(ROOT / "configs" / "default.yaml", environ={}).config.hash()
    assert (config.health.host, config.health.port) == ("0.0.0.0", container()["ports"][0]["containerPort"])
    assert set(Health().allowed_hosts) - {"bot"} <= set(config.health.allowed_hosts)
    service, namespace = read("service.yaml")["metadata"]["name"], read("namespace.yaml")["metadata"]["name"]
    assert {service, f"{service}.{namespace}", f"{service}.{namespace}.svc"} <= set(config.health.allowed_hosts)


def test_everything_finds_its_partner() -> None:
    deployment, service = read("deployment.yaml"), read("service.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert service["spec"]["type"] == "ClusterIP"
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    assert {mount["name"] for mount in container()["volumeMounts"]} == set(volumes)
    assert volumes["var"]["persistentVolumeClaim"]["claimName"] == read("storage.yaml")["metadata"]["name"]
    assert volumes["configs"]["configMap"]["name"] == read("configmap.yaml")["metadata"]["name"]
    assert read("kustomization.yaml")["images"][0]["name"] == container()["image"]


def test_nothing_comes_in_but_to_the_port_and_nothing_goes_out_but_names_and_https() -> None:
    policy = read("networkpolicy.yaml")["spec"]
    assert (policy["podSelector"], policy["policyTypes"]) == ({}, ["Ingress", "Egress"])
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == [container()["ports"][0]["containerPort"]]
    assert all(rule["from"] for rule in policy["ingress"])
    assert [sorted({port["port"] for port in rule["ports"]}) for rule in policy["egress"]] == [[53], [443]]
    private = policy["egress"][1]["to"][0]["ipBlock"]["except"]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(private)


def test_the_namespace_admits_only_what_is_restricted() -> None:
    assert read("namespace.yaml")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert set(volume_kinds(pod())) <= {"configMap", "secret", "persistentVolumeClaim", "emptyDir"}


def volume_kinds(spec: Any) -> list[str]:
    return [kind for volume in spec["volumes"] for kind in volume if kind != "name"]


def test_the_pod_by_hand_is_the_bots_place_without_the_bot() -> None:
    wanted, found = copy.deepcopy(pod()), pod("by-hand.yaml")
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        del wanted["containers"][0][name]
    wanted["containers"][0]["command"] = ["sleep", "infinity"]
    wanted |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
    assert found == wanted


def test_memory_has_room_for_the_bot_and_for_tmp() -> None:
    resources = container()["resources"]
    tmp = next(volume["emptyDir"]["sizeLimit"] for volume in pod()["volumes"] if volume["name"] == "tmp")
    most = 300  # MiB, what the process is allowed under Compose's tests
    assert mebibytes(resources["requests"]["memory"]) >= most
    assert mebibytes(resources["limits"]["memory"]) >= most + mebibytes(tmp)


def test_the_limits_are_those_of_compose() -> None:
    bot, limits = compose(), container()["resources"]["limits"]
    assert bot["mem_limit"] == f"${{GMOBOT_MEMORY:-{mebibytes(limits['memory']) // 1024}g}}"
    assert bot["cpus"] == f"${{GMOBOT_CPUS:-{float(limits['cpu'])}}}"


def mebibytes(quantity: str) -> int:
    return int(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]
