"""The kubelet as a process, against a real API server on a real store, with a real container engine."""

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from node_lab import NODE, PATIENCE_S, NodeLab, until

from master.api.coordination.lease import Lease
from master.api.core.configmap import ConfigMap
from master.api.core.event import Event
from master.api.core.pod import Pod
from master.api.core.secret import Secret
from master.api.meta import ObjectMeta
from master.api.status import BadRequest, NotFound
from master.client.rest import RestClient

Scenario = Callable[[RestClient], Awaitable[None]]


def run(lab: NodeLab, scenario: Scenario) -> None:
    async def main() -> None:
        client = lab.client()
        try:
            await lab.ready(client)
            await scenario(client)
        except BaseException:
            print(lab.logs())
            raise
        finally:
            await client.close()

    asyncio.run(main())


def is_ready(pod: Pod) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)


async def log_of(client: RestClient, pod: str, container: str, **params: str) -> str:
    path = f"/api/v1/namespaces/default/pods/{pod}/log"
    _, body = await client.request("GET", path, params={"container": container, **params})
    return body.decode()


async def events_of(client: RestClient, name: str) -> dict[str, str]:
    found = await client.list(Event, "default")
    return {event.reason: event.message for event in found.items if event.involved_object.name == name}


async def execute(
    lab: NodeLab,
    pod: str,
    container: str,
    command: list[str],
    stdin: bytes = b"",
    tty: bool = False,
    subresource: str = "exec",
) -> Any:
    """(exit code, stdout, stderr) through the API server."""
    params = [("container", container), ("stdout", "True"), *(("command", word) for word in command)]
    params += [("tty", "1")] if tty else [("stderr", "true")]
    params += [("stdin", "true")] if stdin else []
    url = f"{lab.server}/api/v1/namespaces/default/pods/{pod}/{subresource}"
    streams = {1: b"", 2: b"", 3: b""}
    connector = aiohttp.TCPConnector(ssl=lab.tls("admin"))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(
            url, params=params, protocols=("v5.channel.k8s.io",), timeout=aiohttp.ClientWSTimeout()
        ) as ws,
    ):
        if stdin:
            await ws.send_bytes(b"\x00" + stdin)
            await ws.send_bytes(b"\xff\x00")
        async for message in ws:
            streams[message.data[0]] += message.data[1:]
    status = json.loads(streams[3])
    code = 0 if status["status"] == "Success" else int(status["details"]["causes"][0]["message"])
    return code, streams[1].decode(), streams[2].decode()


TWO = """
metadata: {name: two, labels: {app: two}}
spec:
  containers:
  - name: web
    command: [sh, -c, 'echo hello; mkdir /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www']
    ports: [{containerPort: 8080, name: http}]
    readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
    livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
  - name: side
    command: [sh, -c, 'until wget -q -O - http://127.0.0.1:8080/; do sleep 0.1; done; exec sleep 1000']
"""


def test_a_pod_of_two_containers_runs_shares_its_address_and_goes_without_a_trace(node_lab: NodeLab) -> None:
    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, TWO)
        pod = await node_lab.pod_when(client, "two", is_ready)
        assert pod.status.phase == "Running"
        assert pod.status.pod_ip.startswith("10.232.")
        assert pod.status.host_ip == node_lab.address
        assert pod.status.qos_class == "BestEffort"
        assert pod.status.observed_generation == pod.metadata.generation

        async def fetched() -> bool:
            return await log_of(client, "two", "side") == "two\n"

        await until("the second container reaches the first on loopback", fetched)
        assert await log_of(client, "two", "web") == "hello\n"
        with pytest.raises(BadRequest, match="previous terminated container"):
            await log_of(client, "two", "web", previous="true")

        async def told() -> bool:
            return {"Pulled", "Created", "Started"} <= (await events_of(client, "two")).keys()

        await until("the events of a start", told)
        await client.delete(Pod, "two", "default")
        await node_lab.gone(client, "two")
        assert not (node_lab.folder / "kubelet/pods" / pod.metadata.uid).exists()

    run(node_lab, scenario)


def test_exec_gives_output_streams_and_exit_codes_and_takes_input(node_lab: NodeLab) -> None:
    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, "metadata: {name: exec}\nspec: {containers: [{name: c}]}")
        await node_lab.pod_when(client, "exec", is_ready)
        command = ["sh", "-c", "echo out; echo err >&2; exit 3"]
        assert await execute(node_lab, "exec", "c", command) == (3, "out\n", "err\n")
        assert await execute(node_lab, "exec", "c", ["cat"], stdin=b"to and fro") == (0, "to and fro", "")
        code, output, _ = await execute(node_lab, "exec", "c", ["sh", "-c", "test -t 0 && echo tty"], tty=True)
        assert (code, output.strip()[-3:]) == (0, "tty")
        late = ["sh", "-c", "sleep 0.3; echo late"]  # when the client's input has long ended
        code, output, _ = await execute(node_lab, "exec", "c", late, stdin=b"first\n", tty=True)
        assert (code, output.split()) == (0, ["first", "late"])
        await client.delete(Pod, "exec", "default", grace_period_s=0)

    run(node_lab, scenario)


def test_the_end_of_an_attached_clients_input_ends_that_of_a_container_that_is_fed_once(node_lab: NodeLab) -> None:
    container = "{name: c, stdin: true, stdinOnce: true, command: [sh, -c, 'cat; echo end']}"
    manifest = f"metadata: {{name: fed}}\nspec: {{restartPolicy: Never, containers: [{container}]}}"

    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, manifest)
        await node_lab.pod_when(client, "fed", is_ready)
        answer = await execute(node_lab, "fed", "c", [], stdin=b"food\n", subresource="attach")
        assert answer == (0, "food\nend\n", "")
        await node_lab.pod_when(client, "fed", lambda pod: pod.status.phase == "Succeeded")
        await client.delete(Pod, "fed", "default", grace_period_s=0)

    run(node_lab, scenario)


def test_a_crashing_container_is_restarted_then_held_back(node_lab: NodeLab) -> None:
    manifest = "metadata: {name: crash}\nspec: {containers: [{name: c, command: [sh, -c, 'echo try; exit 4']}]}"

    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, manifest)

        def held_back(pod: Pod) -> bool:
            waiting = [each.state.waiting for each in pod.status.container_statuses]
            return bool(waiting) and waiting[0] is not None and waiting[0].reason == "CrashLoopBackOff"

        pod = await node_lab.pod_when(client, "crash", held_back)
        status = pod.status.container_statuses[0]
        assert status.restart_count == 1
        assert status.last_state.terminated is not None and status.last_state.terminated.exit_code == 4
        assert pod.status.phase == "Running"
        assert await log_of(client, "crash", "c") == "try\n"
        await client.delete(Pod, "crash", "default")
        await node_lab.gone(client, "crash")

    run(node_lab, scenario)


JOB = """
metadata: {name: job}
spec:
  restartPolicy: Never
  initContainers:
  - name: prepare
    command: [sh, -c, 'echo -n prepared > /shared/file']
    volumeMounts: [{name: shared, mountPath: /shared}]
  containers:
  - name: work
    command: [sh, -c, 'cat /shared/file; echo -n "last words" > /dev/termination-log; exit 0']
    volumeMounts: [{name: shared, mountPath: /shared}]
  volumes: [{name: shared, emptyDir: {}}]
"""


def test_a_pod_runs_through_its_init_containers_to_success(node_lab: NodeLab) -> None:
    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, JOB)
        pod = await node_lab.pod_when(client, "job", lambda pod: pod.status.phase == "Succeeded")
        ended = pod.status.container_statuses[0].state.terminated
        assert ended is not None
        assert (ended.reason, ended.exit_code, ended.message) == ("Completed", 0, "last words")
        assert pod.status.init_container_statuses[0].ready
        assert await log_of(client, "job", "work") == "prepared"
        await client.delete(Pod, "job", "default")
        await node_lab.gone(client, "job")

    run(node_lab, scenario)


ENVIRONMENT = """
metadata: {name: env, labels: {app: env}}
spec:
  securityContext: {runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000}
  hostAliases: [{ip: 10.1.2.3, hostnames: [alias]}]
  containers:
  - name: c
    command: [sh, -c, 'exec sleep 1000']
    env:
    - {name: GREETING, value: 'hello $(WHO)'}
    - {name: WHO, valueFrom: {configMapKeyRef: {name: conf, key: who}}}
    - {name: AGAIN, value: 'hello $(WHO)'}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    envFrom: [{prefix: S_, secretRef: {name: cred}}]
    resources: {limits: {cpu: 500m, memory: 64Mi}}
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true}
    volumeMounts:
    - {name: all, mountPath: /all}
    - {name: scratch, mountPath: /scratch}
  volumes:
  - name: scratch
    emptyDir: {medium: Memory, sizeLimit: 1Mi}
  - name: all
    projected:
      sources:
      - configMap: {name: conf}
      - secret: {name: cred, items: [{key: password, path: deep/secret, mode: 256}]}
      - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
"""


def test_environment_volumes_and_identity_are_as_the_pod_asks(node_lab: NodeLab) -> None:
    async def scenario(client: RestClient) -> None:
        meta = ObjectMeta(name="conf", namespace="default")
        await node_lab.apply(client, ENVIRONMENT)

        async def refused() -> bool:
            return "FailedMount" in await events_of(client, "env")

        await until("a missing ConfigMap is told", refused)
        await client.create(ConfigMap(metadata=meta, data={"who": "world"}))
        secret = Secret(metadata=ObjectMeta(name="cred", namespace="default"), data={"password": "czNjcmV0"})
        await client.create(secret)
        pod = await node_lab.pod_when(client, "env", is_ready)
        assert pod.status.qos_class == "Guaranteed"

        async def shell(script: str) -> str:
            code, out, error = await execute(node_lab, "env", "c", ["sh", "-c", script])
            assert code == 0, error
            return out.strip()  # type: ignore[no-any-return]

        seen = await shell('echo "$GREETING|$AGAIN|$IP|$CPU|$S_password"')
        assert seen == f"hello $(WHO)|hello world|{pod.status.pod_ip}|500|s3cret"
        assert await shell("id -u; id -g; id -G") == "1000\n2000\n2000 3000"
        assert await shell("cat /all/who /all/deep/secret /all/labels") == 'worlds3cretapp="env"'
        assert await shell("touch /scratch/x && stat -c %g /scratch/x") == "3000"
        assert await shell("touch /x 2>/dev/null || echo read-only") == "read-only"
        assert "10.1.2.3\talias" in await shell("cat /etc/hosts")
        assert f"{pod.status.pod_ip}\tenv" in await shell("cat /etc/hosts")
        resolv = await shell("cat /etc/resolv.conf")
        assert "nameserver 10.96.0.10" in resolv and "search default.svc.cluster.local svc.cluster.local" in resolv
        await client.delete(Pod, "env", "default", grace_period_s=0)
        await node_lab.gone(client, "env")

    run(node_lab, scenario)


SICK = """
metadata: {name: sick}
spec:
  containers:
  - name: c
    command: [sh, -c, 'touch /tmp/well; exec sleep 1000']
    livenessProbe: {exec: {command: [test, -f, /tmp/well]}, periodSeconds: 1, failureThreshold: 1}
"""


def test_a_failing_liveness_probe_restarts_the_container(node_lab: NodeLab) -> None:
    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, SICK)
        await node_lab.pod_when(client, "sick", is_ready)
        await execute(node_lab, "sick", "c", ["rm", "/tmp/well"])
        await node_lab.pod_when(client, "sick", lambda pod: pod.status.container_statuses[0].restart_count == 1)

        async def told() -> bool:
            events = await events_of(client, "sick")
            return "Unhealthy" in events and "failed liveness probe" in events.get("Killing", "")

        await until("the events of a failed probe", told)
        await client.delete(Pod, "sick", "default", grace_period_s=0)

    run(node_lab, scenario)


def test_an_image_that_cannot_be_had_is_told_with_its_reason(node_lab: NodeLab) -> None:
    manifest = "metadata: {name: noimage}\nspec: {containers: [{name: c, image: 'lab/none:1', imagePullPolicy: Never}]}"

    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, manifest)

        def held_back(pod: Pod) -> bool:
            waiting = [each.state.waiting for each in pod.status.container_statuses]
            return bool(waiting) and waiting[0] is not None and waiting[0].reason == "ErrImageNeverPull"

        pod = await node_lab.pod_when(client, "noimage", held_back)
        assert pod.status.phase == "Pending"
        with pytest.raises(BadRequest, match="waiting to start"):
            await log_of(client, "noimage", "c")
        await client.delete(Pod, "noimage", "default")
        await node_lab.gone(client, "noimage")

    run(node_lab, scenario)


def test_a_pod_too_large_for_the_node_fails_at_once(node_lab: NodeLab) -> None:
    manifest = "metadata: {name: large}\nspec: {containers: [{name: c, resources: {requests: {cpu: '1000'}}}]}"

    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, manifest)
        pod = await node_lab.pod_when(client, "large", lambda pod: pod.status.phase == "Failed")
        assert pod.status.reason == "OutOfcpu"
        await client.delete(Pod, "large", "default")
        await node_lab.gone(client, "large")

    run(node_lab, scenario)


def test_a_static_pod_runs_shows_a_mirror_and_goes_with_its_file(node_lab: NodeLab) -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: static}\n"
        "spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: 'lab/busybox:1'}]}\n"
    )
    name = f"static-{NODE}"

    async def scenario(client: RestClient) -> None:
        manifest = node_lab.manifests / "static.yaml"
        manifest.write_text(text)
        mirror = await node_lab.pod_when(client, name, is_ready)
        assert "kubernetes.io/config.mirror" in mirror.metadata.annotations
        container_id = mirror.status.container_statuses[0].container_id
        await client.delete(Pod, name, "default", grace_period_s=0)

        def again(pod: Pod) -> bool:
            return pod.metadata.uid != mirror.metadata.uid and is_ready(pod)

        shown = await node_lab.pod_when(client, name, again)
        assert shown.status.container_statuses[0].container_id == container_id, "only the mirror was made again"
        manifest.unlink()
        await node_lab.gone(client, name)

    run(node_lab, scenario)


def test_a_restarted_kubelet_adopts_its_containers_and_ends_what_was_deleted_meanwhile(node_lab: NodeLab) -> None:
    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, "metadata: {name: stays}\nspec: {containers: [{name: c}]}")
        await node_lab.apply(client, "metadata: {name: goes}\nspec: {containers: [{name: c}]}")
        before = await node_lab.pod_when(client, "stays", is_ready)
        gone = await node_lab.pod_when(client, "goes", is_ready)
        assert await asyncio.to_thread(node_lab.stop, "node") < 5
        await client.delete(Pod, "goes", "default", grace_period_s=0)
        await node_lab.gone(client, "goes")
        node_lab.start_kubelet()

        async def cleared() -> bool:
            engine = node_lab.engine()
            try:
                return all(each.pod_uid != gone.metadata.uid for each in await engine.list_sandboxes())
            finally:
                await engine.close()

        await until("the orphan is cleared away", cleared)
        after = await node_lab.pod_when(client, "stays", is_ready)
        assert after.status.container_statuses[0].container_id == before.status.container_statuses[0].container_id
        assert after.status.container_statuses[0].restart_count == 0
        assert after.status.pod_ip == before.status.pod_ip
        await client.delete(Pod, "stays", "default", grace_period_s=0)

    run(node_lab, scenario)


def test_a_kubelet_stops_quickly_even_while_a_registry_is_silent(node_lab: NodeLab) -> None:
    async def scenario(client: RestClient) -> None:
        with socket.create_server((node_lab.gateway, 0)) as silent:
            silent.settimeout(PATIENCE_S)
            image = f"{node_lab.gateway}:{silent.getsockname()[1]}/web:1"
            await node_lab.apply(
                client, f"metadata: {{name: slow}}\nspec: {{containers: [{{name: c, image: '{image}'}}]}}"
            )
            caller, _ = await asyncio.to_thread(silent.accept)
            with caller:
                assert await asyncio.to_thread(node_lab.stop, "node") < 5.0
        node_lab.start_kubelet()
        await client.delete(Pod, "slow", "default", grace_period_s=0)

    run(node_lab, scenario)


def test_the_lease_is_renewed_and_the_node_tells_what_it_is(node_lab: NodeLab) -> None:
    async def scenario(client: RestClient) -> None:
        node = await node_lab.ready(client)
        first = await client.get(Lease, NODE, "kube-node-lease")

        async def renewed() -> bool:
            lease = await client.get(Lease, NODE, "kube-node-lease")
            return (lease.spec.renew_time or "") > (first.spec.renew_time or "")

        await until("the lease is renewed", renewed)
        assert node.metadata.labels["kubernetes.io/hostname"] == NODE
        assert {each.type for each in node.status.conditions} == {
            "Ready",
            "MemoryPressure",
            "DiskPressure",
            "PIDPressure",
        }
        assert node.status.daemon_endpoints.kubelet_endpoint.port == 10250
        assert node.status.node_info.container_runtime_version.startswith(f"{node_lab.runtime}://")

        async def shows_image() -> bool:
            shown = await client.get(type(node), NODE)
            return any("lab/busybox:1" in image.names for image in shown.status.images)

        await until("the images are listed", shows_image)

    run(node_lab, scenario)


def test_the_kubelet_answers_to_the_masters_only(node_lab: NodeLab) -> None:
    url = f"https://{node_lab.address}:10250"

    def get(who: str, path: str) -> int:
        try:
            with urllib.request.urlopen(url + path, context=node_lab.tls(who), timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    async def scenario(client: RestClient) -> None:
        assert await asyncio.to_thread(get, "admin", "/healthz") == 200
        assert await asyncio.to_thread(get, "kubelet-client", "/pods") == 200
        assert await asyncio.to_thread(get, "admin", "/stats/summary") == 200
        assert await asyncio.to_thread(get, "stranger", "/pods") == 403
        assert await asyncio.to_thread(get, "admin", "/exec/default/../..") == 404
        with pytest.raises(NotFound):
            await log_of(client, "nobody", "c")

    run(node_lab, scenario)


def test_the_read_only_port_shows_pods_without_their_secrets(node_lab: NodeLab) -> None:
    manifest = """
metadata: {name: open, annotations: {token: canary-annotation}}
spec: {containers: [{name: c, env: [{name: PASSWORD, value: canary-value}]}]}
"""

    async def fetch(path: str, method: str = "GET") -> str:
        command = ["nsenter", f"--net=/run/netns/{node_lab.mark}", "curl", "-s", "-X", method, "-w", "%{http_code}"]
        process = await asyncio.create_subprocess_exec(
            *command, f"http://127.0.0.1:10255{path}", stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        return out.decode()

    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, manifest)
        await node_lab.pod_when(client, "open", is_ready)
        pods = await fetch("/pods")
        assert '"name":"open"' in pods and "PASSWORD" in pods and "canary" not in pods
        assert await fetch("/healthz") == "ok200"
        assert "kubelet_running_pods" in await fetch("/metrics")
        assert '"workingSetBytes"' in await fetch("/stats/summary")
        assert (await fetch("/healthz", "POST")).endswith("405")
        assert (await fetch("/containerLogs/default/open/c")).endswith("404")
        await client.delete(Pod, "open", "default", grace_period_s=0)

    run(node_lab, scenario)


def test_a_pod_on_the_nodes_network_answers_at_the_nodes_address(node_lab: NodeLab) -> None:
    manifest = """
metadata: {name: onhost}
spec:
  hostNetwork: true
  containers:
  - name: c
    command: [sh, -c, 'mkdir /www; echo here > /www/index.html; exec httpd -f -p 8099 -h /www']
    readinessProbe: {httpGet: {path: /, port: 8099}, periodSeconds: 1}
"""

    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, manifest)
        pod = await node_lab.pod_when(client, "onhost", is_ready)
        assert pod.status.pod_ip == pod.status.host_ip == node_lab.address
        async with aiohttp.ClientSession() as session, session.get(f"http://{node_lab.address}:8099/") as answer:
            assert await answer.text() == "here\n"
        await client.delete(Pod, "onhost", "default", grace_period_s=0)
        await node_lab.gone(client, "onhost")

    run(node_lab, scenario)


def test_a_deletion_runs_the_hook_and_honours_a_shortened_grace_period(node_lab: NodeLab) -> None:
    manifest = """
metadata: {name: slow}
spec:
  terminationGracePeriodSeconds: 60
  containers:
  - name: c
    command: [sh, -c, 'trap "" TERM; while true; do sleep 1; done']
    volumeMounts: [{name: out, mountPath: /out}]
    lifecycle: {preStop: {exec: {command: [sh, -c, 'echo stopped > /out/told']}}}
  volumes: [{name: out, hostPath: {path: HOST, type: DirectoryOrCreate}}]
"""

    async def scenario(client: RestClient) -> None:
        folder = node_lab.folder / "hook"
        await node_lab.apply(client, manifest.replace("HOST", str(folder)))
        await node_lab.pod_when(client, "slow", is_ready)
        await client.delete(Pod, "slow", "default")

        async def told() -> bool:
            return (folder / "told").exists()

        await until("the preStop hook has run", told)
        pod = await client.get(Pod, "slow", "default")
        assert pod.metadata.deletion_timestamp is not None
        await client.delete(Pod, "slow", "default", grace_period_s=1)
        await node_lab.gone(client, "slow")

    run(node_lab, scenario)


def test_pods_go_on_while_no_master_answers(node_lab: NodeLab) -> None:
    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, "metadata: {name: alone}\nspec: {containers: [{name: c}]}")
        before = await node_lab.pod_when(client, "alone", is_ready)
        server = node_lab.processes["master.apiserver"].args
        await asyncio.to_thread(node_lab.stop, "master.apiserver", kill=True)
        await asyncio.to_thread(node_lab.stop, "node")
        node_lab.start_kubelet()

        async def runs() -> bool:
            engine = node_lab.engine()
            try:
                states = await engine.list_containers()
                return any(each.pod_uid == before.metadata.uid and each.state == "running" for each in states)
            finally:
                await engine.close()

        await until("the container runs", runs)
        assert isinstance(server, list)
        node_lab.spawn("master.apiserver", *server[2:])
        await node_lab.ready(client)
        after = await node_lab.pod_when(client, "alone", is_ready)
        assert after.status.container_statuses[0].container_id == before.status.container_statuses[0].container_id

        async def served() -> bool:
            try:
                return bool(await execute(node_lab, "alone", "c", ["echo", "here"]) == (0, "here\n", ""))
            except aiohttp.ClientError:
                return False  # the kubelet is still on its way up

        await until("the new kubelet serves", served)
        await client.delete(Pod, "alone", "default", grace_period_s=0)

    run(node_lab, scenario)


def test_after_a_power_cut_the_pods_start_again_where_they_were(node_lab: NodeLab) -> None:
    always = "metadata: {name: lasting}\nspec: {containers: [{name: c}]}"
    once = "metadata: {name: once}\nspec: {restartPolicy: Never, containers: [{name: c}]}"

    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, always)
        await node_lab.apply(client, once)
        await node_lab.pod_when(client, "lasting", is_ready)
        await node_lab.pod_when(client, "once", is_ready)
        await asyncio.to_thread(node_lab.cut_power)
        await asyncio.to_thread(node_lab.restore_power)

        def started_again(pod: Pod) -> bool:
            return is_ready(pod) and pod.status.container_statuses[0].restart_count == 1

        await node_lab.pod_when(client, "lasting", started_again)
        ended = await node_lab.pod_when(client, "once", lambda pod: pod.status.phase == "Failed")
        assert ended.status.container_statuses[0].restart_count == 0
        for name in ("lasting", "once"):
            await client.delete(Pod, name, "default", grace_period_s=0)
            await node_lab.gone(client, name)

    run(node_lab, scenario)


def test_a_command_that_does_not_exist_ends_in_a_crash_loop(node_lab: NodeLab) -> None:
    manifest = "metadata: {name: nocommand}\nspec: {containers: [{name: c, command: [/no/such/command]}]}"

    async def scenario(client: RestClient) -> None:
        await node_lab.apply(client, manifest)

        def held_back(pod: Pod) -> bool:
            statuses = pod.status.container_statuses
            waiting = statuses[0].state.waiting if statuses else None
            return waiting is not None and waiting.reason == "CrashLoopBackOff"

        pod = await node_lab.pod_when(client, "nocommand", held_back)
        ended = pod.status.container_statuses[0].last_state.terminated
        assert ended is not None and ended.exit_code in (127, 128) and "/no/such/command" in ended.message
        await client.delete(Pod, "nocommand", "default")
        await node_lab.gone(client, "nocommand")

    run(node_lab, scenario)
