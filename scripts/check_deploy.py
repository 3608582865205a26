"""What scripts/check-deploy.sh asks of rendered objects, of the chart's values, of systemd units and of compose files.

    objects FILE...            Kubernetes objects: restricted pods, probes, and a grace period that fits the drain
    values                     the chart's schema: takes its values, and refuses each of bad-values.yaml
    same FILE FILE             a Deployment of kustomize and one of the chart say the same where it matters
    stops                      systemd units and compose files leave a stop the time that it takes
"""

import json
import re
import sys
from pathlib import Path

import jsonschema
import yaml

CHART = Path("deploy/k8s/helm")
# Last lines of the access log, as docs/config.md has it.
ACCESS_LOG = 2
problems = []


def expect(holds, what):
    if not holds:
        problems.append(what)


def number_in(path, pattern):
    found = re.search(pattern, Path(path).read_text())
    if not found:
        sys.exit(f"{path}: no `{pattern}`: the check has to be brought up to date")
    return int(found[1])


def seconds(text):
    found = re.fullmatch(r"(\d+)(ms|s|m|min|h)?", str(text).strip())
    if not found:
        sys.exit(f"`{text}` is not a duration that the check knows")
    # A bare number is milliseconds to the programs; nothing here may rely on that.
    factor = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600}
    return int(found[1]) * factor[found[2] or sys.exit(f"`{text}` has no unit")]


def longest_stop(drain_wait, drain):
    deregister = number_in("gray-common/src/service/leave.rs", r"DEREGISTER_LIMIT: Duration = Duration::from_secs\((\d+)\)")
    return deregister + drain_wait + drain + ACCESS_LOG


def defaults():
    args = "gray-common/src/service/args.rs"
    wait = number_in(args, r'env = "GRAY_DRAIN_WAIT"[^\]]*default_value = "(\d+)s"')
    return wait, number_in(args, r'env = "GRAY_DRAIN"[^\]]*default_value = "(\d+)s"')


def deployment(name, spec):
    pod = spec["template"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    selector = spec["selector"]["matchLabels"]
    expect(selector.items() <= labels.items(), f"{name}: the selector does not select its own pods")
    expect("version" not in selector and "gray-tag" not in selector, f"{name}: a selector cannot be changed: no version in it")
    expect("release" in selector, f"{name}: both releases would fight for the same pods")
    expect(spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, f"{name}: an instance leaves before its successor is there")
    expect(pod.get("automountServiceAccountToken") is False, f"{name}: has a token of Kubernetes")
    expect(pod.get("enableServiceLinks") is False, f"{name}: gets GRAY_... variables of Services")
    security = pod["securityContext"]
    expect(security["runAsNonRoot"] is True and security["runAsUser"] > 0, f"{name}: may run as root")
    expect(security["seccompProfile"]["type"] == "RuntimeDefault", f"{name}: no seccomp profile")
    spread = pod["topologySpreadConstraints"]
    expect({item["topologyKey"] for item in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}, f"{name}: spread")
    expect(all(item["labelSelector"]["matchLabels"] == selector for item in spread), f"{name}: is spread with pods of others")
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for container in pod["containers"]:
        one_container(f"{name}/{container['name']}", container, pod, labels, volumes)


def one_container(name, container, pod, labels, volumes):
    security = container["securityContext"]
    expect(security["allowPrivilegeEscalation"] is False, f"{name}: may gain privileges")
    expect(security["readOnlyRootFilesystem"] is True, f"{name}: may write to its image")
    expect(security["capabilities"] == {"drop": ["ALL"]}, f"{name}: keeps capabilities")
    expect(re.search(r"(:(?!latest$)[^:/]+|@sha256:[0-9a-f]{64})$", container["image"]), f"{name}: an image without a fixed tag")
    env = {item["name"]: item for item in container["env"]}
    fields = {key: item["valueFrom"]["fieldRef"]["fieldPath"] for key, item in env.items() if "fieldRef" in item.get("valueFrom", {})}
    expect(fields.get("GRAY_ADVERTISE") == "status.podIP", f"{name}: registers another address than the pod's")
    for variable, label in [("GRAY_SERVICE_VERSION", "version"), ("GRAY_TAG", "gray-tag")]:
        written = env[variable].get("value", fields.get(variable))
        expect(written in (f"metadata.labels['{label}']", labels.get(label)), f"{name}: {variable} is not what the label says")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    expect(all(port > 1023 for port in ports.values()), f"{name}: a port for root")
    is_gateway = container["command"] == ["gray-gateway"]
    port = "admin" if is_gateway else "http"
    for probe, path in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]:
        expect(container[probe]["httpGet"] == {"path": path, "port": port}, f"{name}: {probe}")
    if is_gateway:
        expect("secretKeyRef" in env["GRAY_ADMIN_TOKEN"]["valueFrom"] and "GRAY_ADMIN_OPEN" not in env, f"{name}: admin side without a token")
    expect("memory" in container["resources"]["limits"] and "cpu" in container["resources"]["requests"], f"{name}: resources")
    # What is written: HOME and what is below it.
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    expect("sizeLimit" in mounts["/var/lib/gray-chain"].get("emptyDir", {}), f"{name}: nothing to write to, or no limit")
    expect(env["GRAY_SNAPSHOT_DIR"]["value"].startswith("/var/lib/gray-chain/"), f"{name}: the snapshot's directory is not its own")
    pre_stop = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
    expect(pre_stop[0] == "sleep", f"{name}: preStop does something else than wait")
    takes = int(pre_stop[1]) + longest_stop(seconds(env["GRAY_DRAIN_WAIT"]["value"]), seconds(env["GRAY_DRAIN"]["value"]))
    grace = pod["terminationGracePeriodSeconds"]
    expect(takes < grace <= takes + 30, f"{name}: a stop takes up to {takes} s, the grace period is {grace} s")
    if is_gateway:
        expect(int(pre_stop[1]) >= 3, f"{name}: nodes send requests to a pod that has left")


def objects(paths):
    everything = [item for path in paths for item in yaml.safe_load_all(Path(path).read_text()) if item]
    expect(everything, "nothing in there")
    kinds = {}
    for item in everything:
        kinds.setdefault(item["kind"], []).append(item)
    budgets = [item["spec"] for item in kinds.get("PodDisruptionBudget", [])]
    for item in kinds.get("Deployment", []):
        name = item["metadata"]["name"]
        deployment(name, item["spec"])
        wanted = item["spec"]["selector"]["matchLabels"]
        matching = [budget for budget in budgets if budget["selector"]["matchLabels"] == wanted]
        expect(len(matching) == 1 and matching[0]["maxUnavailable"] >= 1, f"{name}: no budget of its own, or one that blocks drains")
        for environment in item["spec"]["template"]["spec"]["containers"][0]["envFrom"]:
            wanted_map = environment.get("configMapRef", {}).get("name")
            names = [one["metadata"]["name"] for one in kinds.get("ConfigMap", [])]
            expect(wanted_map is None or wanted_map in names, f"{name}: there is no ConfigMap {wanted_map}")
    names = [(item["kind"], item["metadata"]["name"]) for item in everything]
    expect(len(names) == len(set(names)), "two objects of one name")
    for item in kinds.get("NetworkPolicy", []):
        expect(set(item["spec"]["policyTypes"]) == {"Ingress", "Egress"}, f"{item['metadata']['name']}: one direction is open")
        expect("release" not in json.dumps(item["spec"]), f"{item['metadata']['name']}: is for one release alone")


def merged(base, over):
    out = dict(base)
    for key, value in over.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return out


def values():
    schema = json.loads((CHART / "gray-chain/values.schema.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    validator.check_schema(schema)
    base = yaml.safe_load((CHART / "gray-chain/values.yaml").read_text())
    good = {"values.yaml": {}, "values-gray.yaml": yaml.safe_load((CHART / "values-gray.yaml").read_text())}
    for name, over in good.items():
        for error in validator.iter_errors(merged(base, over)):
            problems.append(f"{name}: {error.message}")
    bad = yaml.safe_load((CHART / "bad-values.yaml").read_text())
    for case in bad:
        found = {".".join(map(str, error.absolute_path)) for error in validator.iter_errors(merged(base, case["values"]))}
        expect(found == {case["at"]}, f"{case['values']}: found faulty at {sorted(found)}, not at `{case['at']}`")
    print(f"{len(bad)} bad values refused")


def same(one, two):
    def told(path):
        found = {}
        for item in yaml.safe_load_all(Path(path).read_text()):
            if item and item["kind"] == "Deployment":
                pod = item["spec"]["template"]["spec"]
                for container in pod["containers"]:
                    container["env"] = {one["name"]: one for one in container["env"] if one["name"] not in ("GRAY_PORT", "GRAY_ADMIN_PORT")}
                    del container["envFrom"]
                    container["ports"] = sorted(port["containerPort"] for port in container["ports"])
                pod.pop("terminationGracePeriodSeconds")
                found[item["metadata"]["name"]] = pod
        return found

    one, two = told(one), told(two)
    expect(one.keys() == two.keys(), f"{sorted(one)} and {sorted(two)}")
    for name in one.keys() & two.keys():
        for key in one[name].keys() | two[name].keys():
            expect(one[name].get(key) == two[name].get(key), f"{name}: {key} differs:\n  {one[name].get(key)}\n  {two[name].get(key)}")


def stops():
    wait, drain = defaults()
    units = sorted(Path("deploy/systemd").glob("*.service"))
    expect(units, "no systemd units")
    for path in units:
        text = path.read_text()
        setting = lambda name, default: seconds(found[1]) if (found := re.search(rf"^Environment={name}=(\S+)$", text, re.M)) else default
        stop = re.search(r"^TimeoutStopSec=(\S+)$", text, re.M)
        takes = longest_stop(setting("GRAY_DRAIN_WAIT", wait), setting("GRAY_DRAIN", drain))
        allowed = seconds(stop[1]) if stop else 0
        expect(takes < allowed <= takes + 30, f"{path}: a stop takes up to {takes} s, TimeoutStopSec is {allowed} s")
    compose = Path("docker-compose.yml")
    grace = re.search(r"^  stop_grace_period: (\S+)$", compose.read_text(), re.M)
    # Without an access log.
    takes = longest_stop(wait, drain) - ACCESS_LOG
    expect(grace and seconds(grace[1]) >= takes, f"{compose}: a stop takes up to {takes} s, stop_grace_period is less")


what, paths = sys.argv[1], sys.argv[2:]
{"objects": lambda: objects(paths), "values": values, "same": lambda: same(*paths), "stops": stops}[what]()
for problem in problems:
    print(f"error: {what}: {problem}", file=sys.stderr)
sys.exit(1 if problems else 0)
