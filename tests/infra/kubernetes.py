"""Checks Kubernetes manifests without a cluster: `kubernetes.py SETTINGS FILE…`, where SETTINGS is .env.example.

Each object has to fit the schema of each listed version. Schemas do not see that a name leads nowhere, so labels,
ports, keys of secrets and names of settings are compared as well, and every container has to be as confined as the image
allows.
"""

import pathlib
import re
import sys

import kubernetes_validate
from ruamel.yaml import YAML

VERSIONS = ["1.30", "1.33", "1.37"]
# The maximum time in which the service stops: src/app.rs and the flush of the log and of Sentry.
STOP_SECONDS = 9
POD = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def schema_faults(name, document):
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{name}: {error.message} at {'.'.join(map(str, error.path)) or 'the top'} (Kubernetes {version})"
            return


def unconfined(name, context, wanted):
    wrong = ((key, value) for key, value in wanted.items() if context.get(key) != value)
    return (f"{name}: securityContext.{key} is not {value}" for key, value in wrong)


def pod_faults(name, pod, secrets, settings):
    """Faults of a pod's own, and of what it reads."""
    yield from unconfined(f"{name}, the pod", pod.get("securityContext", {}), POD)
    if pod.get("automountServiceAccountToken") is not False or pod.get("enableServiceLinks") is not False:
        yield f"{name}: automountServiceAccountToken and enableServiceLinks have to be false"
    volumes = {volume["name"]: volume["secret"]["secretName"] for volume in pod.get("volumes", [])}
    for container in pod["containers"]:
        yield from unconfined(f"{name}, the container", container.get("securityContext", {}), CONTAINER)
        if "memory" not in container.get("resources", {}).get("limits", {}):
            yield f"{name}: the container has no limit of memory"
        mounts = {mount["mountPath"]: volumes.get(mount["name"]) for mount in container.get("volumeMounts", [])}
        for variable in container.get("env", []):
            setting = variable["name"].removesuffix("_FILE")
            if setting not in settings:
                yield f"{name}: {variable['name']} is not a setting"
            if variable["name"] != setting:
                folder, key = variable["value"].rsplit("/", 1)
                secret = mounts.get(folder)
                if key not in secrets.get(secret, {}):
                    yield f"{name}: {variable['name']} names {key}, which is not in the mounted Secret {secret}"


def main(example, *paths):
    settings = set(re.findall(r"^# ([A-Z0-9_]+)=", pathlib.Path(example).read_text(), re.MULTILINE))
    files = map(pathlib.Path, paths)
    documents = [(path.name, document) for path in files for document in YAML(typ="safe").load_all(path)]

    def of_kind(kind):
        return [(name, document) for name, document in documents if document.get("kind") == kind]

    faults = [fault for name, document in documents for fault in schema_faults(name, document)]
    if faults:
        return faults, documents

    secrets = {document["metadata"]["name"]: document["stringData"] for _, document in of_kind("Secret")}
    configs = {document["metadata"]["name"]: document["data"] for _, document in of_kind("ConfigMap")}
    for config in configs.values():
        faults += [f"the ConfigMap's {key} is not a setting" for key in config if key not in settings]
    [(_, deployment)], [(_, job)], [(_, service)] = of_kind("Deployment"), of_kind("Job"), of_kind("Service")
    templates = [*of_kind("Deployment"), *of_kind("Job")]
    pods = [(name, document["spec"]["template"]["spec"]) for name, document in templates]
    for name, pod in pods:
        faults += pod_faults(name, pod, secrets, settings)
    if len({container["image"] for _, pod in pods for container in pod["containers"]}) != 1:
        faults.append("the Deployment and the Job have different images")

    labels = deployment["spec"]["template"]["metadata"]["labels"]
    [(_, budget)], [(_, policy)] = of_kind("PodDisruptionBudget"), of_kind("NetworkPolicy")
    for kind, selector in [
        ("Deployment", deployment["spec"]["selector"]["matchLabels"]),
        ("Service", service["spec"]["selector"]),
        ("PodDisruptionBudget", budget["spec"]["selector"]["matchLabels"]),
        ("NetworkPolicy", policy["spec"]["podSelector"]["matchLabels"]),
    ]:
        if selector != labels:
            faults.append(f"the {kind} selects {selector}, and the pods have {labels}")
    if job["spec"]["template"]["metadata"]["labels"] == labels:
        faults.append("the Service would send requests to the Job")

    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    references = [source["configMapRef"]["name"] for source in container["envFrom"]]
    faults += [f"there is no ConfigMap {name}" for name in references if name not in configs]
    ports = {port["name"] for port in container["ports"]}
    used = [port["targetPort"] for port in service["spec"]["ports"]]
    used += [container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    used += [port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]]
    faults += [f"the container has no port {port}" for port in used if port not in ports]
    name = service["metadata"]["name"]
    targets = [{"name": name, "port": {"name": port["name"]}} for port in service["spec"]["ports"]]
    hosts = configs[references[0]].get("ALLOWED_HOSTS", "").split(",")
    [(_, ingress)] = of_kind("Ingress")
    for rule in ingress["spec"]["rules"]:
        if rule["host"] not in hosts:
            faults.append(f"the Ingress serves {rule['host']}, which ALLOWED_HOSTS does not list")
        backends = [path["backend"]["service"] for path in rule["http"]["paths"]]
        faults += [f"the Ingress leads to {other}, not to the Service" for other in backends if other not in targets]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    if pod["terminationGracePeriodSeconds"] < pause + STOP_SECONDS:
        faults.append(f"a pod is killed before the {pause} + {STOP_SECONDS} s in which it stops")
    return faults, documents


faults, documents = main(*sys.argv[1:])
print("\n".join([*faults, f"{len(documents)} objects, {len(faults)} faults"]))
sys.exit(1 if faults else 0)
