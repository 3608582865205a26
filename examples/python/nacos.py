"""Nacos by its open API (v1, as 2.x has it): registers an instance, keeps it alive, finds those of others."""

import asyncio
import json
import os
import random
import time
from contextlib import asynccontextmanager

import httpx

NACOS = f"http://{os.environ.get('NACOS', '127.0.0.1:8848')}/nacos/v1/ns"
NAMESPACE = os.environ.get("NAMESPACE") or "public"
HOST = os.environ.get("HOST", "127.0.0.1")
BEAT = 5
FRESH = 5
client = httpx.AsyncClient(timeout=10)
known: dict[str, tuple[float, list[str]]] = {}


def registered(service, port, version):
    """The lifespan of an application that is registered while it runs."""
    own = {"namespaceId": NAMESPACE, "serviceName": service, "ip": HOST, "port": port}

    @asynccontextmanager
    async def lifespan(_):
        metadata = {"version": version}
        (await client.post(f"{NACOS}/instance", params={**own, "metadata": json.dumps(metadata)})).raise_for_status()
        beat = asyncio.create_task(beats({**own, "beat": json.dumps({**own, "metadata": metadata})}))
        yield
        beat.cancel()
        await client.delete(f"{NACOS}/instance", params=own)

    return lifespan


async def beats(form):
    while True:
        await asyncio.sleep(BEAT)
        try:
            await client.put(f"{NACOS}/instance/beat", params=form)
        except httpx.HTTPError as error:
            print("no beat:", error)


async def instance(service):
    """`host:port` of any instance of a service."""
    when, addresses = known.get(service, (0, []))
    if time.monotonic() - when > FRESH:
        form = {"namespaceId": NAMESPACE, "serviceName": service, "healthyOnly": "true"}
        hosts = (await client.get(f"{NACOS}/instance/list", params=form)).json()["hosts"]
        addresses = [f"{host['ip']}:{host['port']}" for host in hosts]
        known[service] = time.monotonic(), addresses
    return random.choice(addresses)
