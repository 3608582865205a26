"""Runs rendered Kubernetes objects as containers, with what their pods are allowed and no more: read-only root, user, no
capabilities, no new privileges, memory, the one directory that may be written to, variables, labels. Probes are asked as
the kubelet asks them; at the end preStop runs, SIGTERM follows, and the grace period is kept.

    run_manifests.py NACOS_IMAGE FILE...

Not Kubernetes: Services, budgets, policies and spreading are not looked at. Containers and network end with it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

NET = f"gray-manifests-{os.getpid()}"
TOKEN = "a-token-for-this-run-only"
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def docker(*args, check=True):
    done = subprocess.run(["docker", *args], capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"docker {' '.join(args)}: {done.stderr}")
    return (done.stdout + done.stderr).strip()


def ask(url, headers=None):
    try:
        with opener.open(urllib.request.Request(url, headers=headers or {}), timeout=3) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def until(what, check, limit=60):
    began = time.monotonic()
    while not (seen := check())[0]:
        if time.monotonic() - began > limit:
            sys.exit(f"not within {limit} s: {what}: {seen[1]}")
        time.sleep(0.2)
    return time.monotonic() - began


def address(name):
    return json.loads(docker("inspect", name))[0]["NetworkSettings"]["Networks"][NET]["IPAddress"]


class Pod:
    def __init__(self, item, number, maps):
        self.spec = item["spec"]["template"]["spec"]
        self.labels = item["spec"]["template"]["metadata"]["labels"]
        self.container = self.spec["containers"][0]
        self.name = f"{NET}-{item['metadata']['name']}-{number}"
        self.service = item["metadata"]["name"]
        self.ip = f"172.31.{(os.getpid() % 200) + 20}.{10 + len(pods)}"
        security, pod = self.container["securityContext"], self.spec["securityContext"]
        flags = ["--user", f"{pod['runAsUser']}:{pod['runAsGroup']}", "--memory", self.container["resources"]["limits"]["memory"].removesuffix("i").lower()]
        flags += ["--read-only"] * security["readOnlyRootFilesystem"]
        flags += [flag for name in security["capabilities"]["drop"] for flag in ("--cap-drop", name)]
        flags += ["--security-opt", "no-new-privileges"] * (not security["allowPrivilegeEscalation"])
        for mount in self.container["volumeMounts"]:
            # An emptyDir: root's, open to all, the group's by fsGroup.
            volume = Path(volumes) / f"{self.name}-{mount['name']}"
            volume.mkdir()
            os.chown(volume, 0, pod["fsGroup"])
            volume.chmod(0o2777)
            flags += ["--volume", f"{volume}:{mount['mountPath']}"]
        for name, value in self.variables(maps).items():
            flags += ["--env", f"{name}={value}"]
        docker("run", "-d", "--name", self.name, "--network", NET, "--ip", self.ip, *flags, "gray-chain:dev", *self.container["command"])

    def variables(self, maps):
        values = {}
        for source in self.container["envFrom"]:
            values |= maps.get(source.get("configMapRef", {}).get("name"), {})
        values["GRAY_NACOS"] = "nacos:8848"
        for item in self.container["env"]:
            source = item.get("valueFrom", {})
            if "secretKeyRef" in source:
                value = TOKEN
            elif "fieldRef" in source:
                value = self.field(source["fieldRef"]["fieldPath"])
            else:
                value = item["value"]
                for name, other in values.items():
                    value = value.replace(f"$({name})", other)
            values[item["name"]] = value
        return values

    def field(self, path):
        if path.startswith("metadata.labels['"):
            return self.labels.get(path[17:-2], "")
        return {"status.podIP": self.ip, "metadata.name": self.name, "spec.nodeName": "this-machine"}[path]

    def url(self, port):
        return f"http://{self.ip}:{next(one['containerPort'] for one in self.container['ports'] if one['name'] == port)}"

    def probe(self, probe):
        get = self.container[probe]["httpGet"]
        status, said = ask(self.url(get["port"]) + get["path"])
        return 200 <= status < 400, f"{status} {said} {docker('logs', '--tail', '5', self.name) if status == 0 else ''}"

    def stop(self):
        began = time.monotonic()
        pre_stop = self.container.get("lifecycle", {}).get("preStop")
        if pre_stop:
            docker("exec", self.name, *pre_stop["exec"]["command"])
        docker("stop", "--time", str(self.spec["terminationGracePeriodSeconds"]), self.name)
        took = time.monotonic() - began
        code = json.loads(docker("inspect", self.name))[0]["State"]["ExitCode"]
        log = docker("logs", self.name)
        if code != 0 or took > self.spec["terminationGracePeriodSeconds"] or "panicked" in log:
            sys.exit(f"{self.name}: ended with {code} after {took:.1f} s\n{log[-2000:]}")
        for word in ("read-only file system", "Permission denied", "Operation not permitted"):
            if word.lower() in log.lower():
                sys.exit(f"{self.name}: {word}\n{log[-3000:]}")
        return took


def run(nacos_image, files):
    items = [item for path in files for item in yaml.safe_load_all(Path(path).read_text()) if item]
    maps = {item["metadata"]["name"]: item["data"] for item in items if item["kind"] == "ConfigMap"}
    docker("network", "create", "--subnet", f"172.31.{(os.getpid() % 200) + 20}.0/24", NET)
    docker("run", "-d", "--name", f"{NET}-nacos", "--network", NET, "--network-alias", "nacos", "-e", "MODE=standalone", "-e", "JVM_XMS=256m",
           "-e", "JVM_XMX=512m", "-e", "JVM_XMN=128m", nacos_image)
    nacos = f"http://{address(f'{NET}-nacos')}:8848/nacos"
    until("Nacos is ready", lambda: ((seen := ask(f"{nacos}/v1/console/health/readiness"))[0] == 200, seen), 120)
    namespace = next(iter(maps.values()))["GRAY_NAMESPACE"]
    docker("run", "--rm", "--network", NET, "-v", f"{Path('deploy/nacos').resolve()}:/config:ro", "gray-chain:dev", "grayctl", "publish",
           "--nacos", "nacos:8848", "--namespace", namespace, "--dir", "/config", "--yes")
    for item in items:
        if item["kind"] == "Deployment":
            for number in range(item["spec"]["replicas"]):
                pods.append(Pod(item, number, maps))
    for pod in pods:
        until(f"{pod.name} has started", lambda: pod.probe("startupProbe"))
        took = until(f"{pod.name} is ready", lambda: pod.probe("readinessProbe"))
        assert pod.probe("livenessProbe")[0]
        print(f"{pod.service}: ready")
    gateway = next(pod for pod in pods if pod.service == "gray-gateway")
    status, said = ask(gateway.url("admin") + "/status")
    assert status == 401, f"the admin side answers strangers: {status} {said}"
    status, said = ask(gateway.url("admin") + "/status", {"Authorization": f"Bearer {TOKEN}"})
    assert status == 200, said
    listed = json.loads(ask(f"{nacos}/v1/ns/instance/list?namespaceId={namespace}&serviceName=order-app")[1])["hosts"]
    print("order-app in Nacos:", sorted((host["ip"], host["metadata"]["version"], host["metadata"].get("gray-tag"), host["metadata"]["node"]) for host in listed))
    assert {host["ip"] for host in listed} == {pod.ip for pod in pods if pod.service.startswith("order-app")}
    versions = {}
    for header in ("none", "gray-996"):
        for _ in range(12):
            status, said = ask(gateway.url("http") + "/order-api/order/N0001", {"gray": header})
            assert status == 200, said
            data = json.loads(said)["data"]
            versions.setdefault(header, set()).add((data["metaVersion"], data["userName"].rsplit("=", 1)[1]))
    print("answered:", versions)
    assert versions == {"none": {("V1", "V1")}, "gray-996": {("V2", "V2")}}
    # What they know is kept in the directory that the volume is for.
    kept = docker("exec", gateway.name, "sh", "-c", "ls -l /var/lib/gray-chain/snapshot/*; touch /x 2>&1 || true")
    assert "Read-only file system" in kept and "documents-" in kept, kept
    print("stopped after", {pod.service: round(pod.stop(), 1) for pod in pods})


pods = []
# Where the volumes are: on this machine, as the kubelet has them.
volumes = tempfile.mkdtemp()
try:
    run(sys.argv[1], sys.argv[2:])
finally:
    for pod in pods:
        docker("rm", "-f", pod.name, check=False)
    docker("rm", "-f", f"{NET}-nacos", check=False)
    docker("network", "rm", NET, check=False)
    shutil.rmtree(volumes)
