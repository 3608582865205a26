"""order-app and user-app on FastAPI. How they register and how they are started is in main.py."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import httpx
import requests
from fastapi import FastAPI, HTTPException

import nacos

PORT, VERSION, STACK = int(os.environ["PORT"]), os.environ["VERSION"], "python"
client = httpx.AsyncClient(timeout=10)
# Its threads live longer than any request.
pool = ThreadPoolExecutor(2)


def answer(data):
    return {"code": 200, "msg": "成功！", "data": data, "success": True, "fail": False}


user_app = FastAPI(lifespan=nacos.registered("user-app", PORT, VERSION))


@user_app.get("/user/{user_no}")
async def user(user_no: str):
    return answer(f"{user_no} of {STACK} - port={PORT} - mateVersion={VERSION}")


order_app = FastAPI(lifespan=nacos.registered("order-app", PORT, VERSION))


async def by_httpx(path):
    return (await client.get(f"http://{await nacos.instance('user-app')}{path}")).json()


def by_requests(address, path):
    return requests.get(f"http://{address}{path}", timeout=10).json()


@order_app.get("/order/{order_no}")
async def order(order_no: str, via: str = "httpx"):
    """`via` says how user-app is called."""
    path = "/user/U0001"
    match via:
        case "httpx":
            said = await by_httpx(path)
        case "task":
            said = await asyncio.create_task(by_httpx(path))
        case "requests":
            said = await asyncio.to_thread(by_requests, await nacos.instance("user-app"), path)
        case "pool":
            address = await nacos.instance("user-app")
            said = await asyncio.wrap_future(pool.submit(by_requests, address, path))
        case _:
            raise HTTPException(400, "via is httpx, task, requests or pool")
    own = {"orderNo": order_no, "goodsName": "G0001", "userNo": "U0001", "port": str(PORT)}
    return answer({**own, "metaVersion": VERSION, "stack": STACK, "userName": said["data"]})
