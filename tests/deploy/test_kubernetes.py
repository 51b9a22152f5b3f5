"""The manifests: valid for two versions of Kubernetes, and what they promise is what the program does."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from console.api.middleware.paths import PATHS
from console.cli.serve import HANGING_SECONDS
from services.core.machine import MEGABYTE
from services.core.settings import PREFIX, Settings
from tests.deploy.tools import DEPLOY

KUBERNETES = DEPLOY / "kubernetes"
# The oldest version that is still maintained, and the newest one that there are schemas of.
VERSIONS = ("1.34", "1.37")
KUSTOMIZATIONS = ("base", "overlays/example", "first-account")
OCR_BYTES = 700 * MEGABYTE  # of the process that recognises text, beside ours
OUT_WITHIN_SECONDS = 2.0  # a node that hangs or is not ready gets nothing new


@cache
def documents() -> dict[str, list[dict[str, Any]]]:
    """Return the objects of each file, without those for kustomize itself."""
    found = {}
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        if path.name != "kustomization.yaml":
            objects = [each for each in yaml.safe_load_all(path.read_text()) if each]
            found[str(path.relative_to(KUBERNETES))] = objects
    return found


def one(kind: str, name: str = "millpond") -> dict[str, Any]:
    """Return an object of the base."""
    objects = [each for path, listed in documents().items() if path.startswith("base/") for each in listed]
    return next(each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name)


def pods() -> list[dict[str, Any]]:
    """Return what pods are made of: those of the nodes and that of the first account."""
    job = documents()["first-account/job.yaml"][0]
    return [one("Deployment")["spec"]["template"], job["spec"]["template"]]


def container() -> dict[str, Any]:
    found: dict[str, Any] = pods()[0]["spec"]["containers"][0]
    return found


def test_nodes_share_the_key_of_the_audit_log_and_are_replaced_one_by_one() -> None:
    """With keys of their own all nodes but the first are refused; an upgrade would end old ones too early."""
    deployment = one("Deployment")["spec"]
    assert deployment["replicas"] > 1
    assert deployment["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    keys = next(each for each in deployment["template"]["spec"]["volumes"] if each["name"] == "keys")
    assert not keys["secret"].get("optional", False)
    made = [each for each in documents()["overlays/example/secret.example.yaml"] if "audit.key" in each["stringData"]]
    assert [each["metadata"]["name"] for each in made] == [keys["secret"]["secretName"]]


def bytes_of(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * {"Mi": 1024**2, "Gi": 1024**3}[unit]


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


@pytest.mark.parametrize("version", VERSIONS)
def test_each_file_is_valid(version: str) -> None:
    """A field that is misspelt or in the wrong place is passed over by some servers, and refused by others."""
    patches = {"overlays/example/ingress.yaml", "overlays/example/networkpolicy.yaml", "overlays/example/settings.yaml"}
    for path, objects in documents().items():
        assert objects or path in patches
        for each in objects:
            if path not in patches:
                kubernetes_validate.validate(each, version, strict=True)


def test_a_wrong_field_would_be_found() -> None:
    """Fails if the check is not strict."""
    wrong = {**one("Service"), "specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("folder", KUSTOMIZATIONS)
def test_what_kustomize_makes_is_valid(folder: str) -> None:
    """A patch of something that is not there, or one that breaks it, is found before anybody applies it."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    objects = list(yaml.safe_load_all(done.stdout))
    for version in VERSIONS:
        for each in objects:
            kubernetes_validate.validate(each, version, strict=True)
    if folder == "base":
        return
    assert {each["metadata"].get("namespace", "millpond") for each in objects} == {"millpond"}
    images = re.findall(r"image: (\S+)", done.stdout)
    assert images
    assert set(images) == {"registry.example.org/millpond:0.1.0"}


@pytest.mark.parametrize("folder", KUSTOMIZATIONS)
def test_kustomizations_name_what_is_there(folder: str) -> None:
    """Without kubectl, too: a file that no kustomization names would not be applied."""
    place = KUBERNETES / folder
    named = yaml.safe_load((place / "kustomization.yaml").read_text())
    paths = [*named["resources"], *(patch["path"] for patch in named.get("patches", []))]
    assert [path for path in paths if not (place / path).exists()] == []
    there = {path.name for path in place.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert there <= set(paths)
    objects = {(each["kind"], each["metadata"]["name"]) for listed in documents().values() for each in listed}
    for patch in named.get("patches", []):
        for each in documents()[f"{folder}/{patch['path']}"]:
            assert (each["kind"], each["metadata"]["name"]) in objects


def test_pods_have_no_rights() -> None:
    """What the standard "restricted" for pods asks for, which the namespace enforces, and a read-only root."""
    for pod in pods():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert {spec["securityContext"][name] for name in ("runAsUser", "runAsGroup", "fsGroup")} == {10001}
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in (*spec.get("initContainers", []), *spec["containers"]):
            context = each["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {"memory"} <= each["resources"]["limits"].keys()
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"emptyDir", "secret", "configMap"}


def test_memory_has_room_for_other_processes() -> None:
    """The process keeps within the request; text recognition beside it must not have the kernel kill either of them."""
    resources = container()["resources"]
    limit = next(each for each in container()["env"] if each["name"] == "MILLPOND_MEMORY_LIMIT_MB")
    reference = limit["valueFrom"]["resourceFieldRef"]
    assert (reference["resource"], reference["divisor"]) == ("requests.memory", "1Mi")
    assert bytes_of("1Mi") == MEGABYTE
    assert bytes_of(resources["limits"]["memory"]) - bytes_of(resources["requests"]["memory"]) >= OCR_BYTES


def test_probes_keep_what_is_promised() -> None:
    """A node that hangs or is not ready gets nothing new after two seconds, and is restarted only after a minute."""
    open_paths = {rule.path for rule in PATHS}
    ready, live, started = (container()[f"{name}Probe"] for name in ("readiness", "liveness", "startup"))
    assert {probe["httpGet"]["path"] for probe in (ready, live, started)} == {"/readyz", "/healthz"} <= open_paths
    assert ready["httpGet"]["path"] == "/readyz"
    assert ready["periodSeconds"] + ready["failureThreshold"] * ready["timeoutSeconds"] <= OUT_WITHIN_SECONDS
    assert live["httpGet"]["path"] == "/healthz"
    assert live["periodSeconds"] * live["failureThreshold"] >= 60
    # A start may take as long as it likes, as long as it answers: else a migration would be begun again and again.
    assert started["httpGet"]["path"] == "/healthz"


def test_the_end_has_time_for_what_is_in_progress() -> None:
    """A grace period shorter than drain and end together would kill a node in the middle of its last answers."""
    program, _isolated, script, seconds, before = container()["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "/opt/millpond/bin/python"
    assert (DEPLOY / "container" / Path(script).name).exists()
    grace = pods()[0]["spec"]["terminationGracePeriodSeconds"]
    assert grace > float(before) + float(seconds) + HANGING_SECONDS
    assert float(seconds) >= float(one("ConfigMap")["data"]["MILLPOND_DRAIN_SECONDS"])


def test_what_belongs_together_finds_each_other() -> None:
    """A selector that selects nothing says so nowhere; one that selects too much sends requests to a job."""
    nodes, job = (pod["metadata"]["labels"] for pod in pods())
    selectors = [
        one("Service")["spec"]["selector"],
        one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one("Deployment")["spec"]["selector"]["matchLabels"],
    ]
    selectors += [each["labelSelector"]["matchLabels"] for each in pods()[0]["spec"]["topologySpreadConstraints"]]
    for selector in selectors:
        assert selects(selector, nodes)
        assert not selects(selector, job)
    policy = one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert selects(policy, nodes)
    assert selects(policy, job)
    assert container()["ports"][0]["name"] == one("Service")["spec"]["ports"][0]["targetPort"] == "http"
    assert container()["ports"][0]["containerPort"] == Settings.model_fields["port"].default


def test_nothing_passes_that_is_not_named() -> None:
    """Without the policy for all pods, what another policy allows is all that anybody may, but only for its pods."""
    denied = one("NetworkPolicy", "default-deny")["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    place = documents()["overlays/example/networkpolicy.yaml"][0]["spec"]
    assert all(rule.get("to") for rule in place["egress"])
    allowed = {port["port"] for rule in place["egress"] for port in rule["ports"]}
    assert {53, 5432} <= allowed


def test_settings_are_known_and_no_secret_is_real() -> None:
    """A setting that does not exist has no effect; a value that looks real is copied into real use."""
    given = {name for objects in documents().values() for each in objects for name in each.get("data", {})}
    secrets = [each for each in documents()["overlays/example/secret.example.yaml"] if each["kind"] == "Secret"]
    values = {name: value for each in secrets for name, value in each["stringData"].items()}
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert {name for name in (*given, *values) if name.startswith(PREFIX)} - known == set()
    assert [name for name, value in values.items() if "REPLACE" not in value and name != "MILLPOND_FILES_URL"] == []
    assert all(
        "Secret" not in {each["kind"] for each in objects} or "example" in path for path, objects in documents().items()
    )
