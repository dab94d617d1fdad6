"""A REST service on FastAPI, which describes itself: customers, orders, and what a gateway must not reach.

Writes its own description to the file `OPENAPI`, wants the token `KEY`, prints where it listens, and ends when its input
does. `/log` says which requests came, as they came.
"""

import json
import os
import socket
import sys
import threading
import time
from typing import Annotated

import uvicorn
from fastapi import Cookie, Depends, FastAPI, Header, HTTPException, Query, Request, Response, UploadFile
from fastapi.responses import PlainTextResponse, RedirectResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel

KEY = os.environ["KEY"]
LOG = []
CUSTOMERS = {"7": {"id": "7", "name": "Ada", "tags": ["first"]}}


class New(BaseModel):
    name: str
    tags: list[str] = []


class Customer(New):
    id: str


class Category(BaseModel):
    """Holds itself."""

    name: str
    children: list["Category"] = []


def let_in(credential=Depends(HTTPBearer())):
    if credential.credentials != KEY:
        raise HTTPException(401, "not with this token")


app = FastAPI(title="crm", version="1.4.0", dependencies=[Depends(let_in)])


def known(customer_id):
    if customer_id not in CUSTOMERS:
        raise HTTPException(404, f"no customer {customer_id}")
    return CUSTOMERS[customer_id]


@app.get("/customers", operation_id="listCustomers", summary="Customers by name")
def customers(
    name: str | None = None,
    tag: Annotated[list[str], Query()] = [],
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
):
    fits = [c for c in CUSTOMERS.values() if name in (None, c["name"]) and set(tag) <= set(c["tags"])]
    return fits[:limit]


@app.get("/customers/{customer_id}", operation_id="readCustomer", response_model=Customer)
def customer(customer_id: str, x_reason: Annotated[str | None, Header()] = None):
    return known(customer_id)


@app.post("/customers", operation_id="addCustomer", status_code=201, response_model=Customer)
def add(new: New):
    number = str(len(CUSTOMERS) + 7)
    CUSTOMERS[number] = {"id": number, **new.model_dump()}
    return CUSTOMERS[number]


@app.put("/customers/{customer_id}", operation_id="replaceCustomer")
def replace(customer_id: str, new: New):
    known(customer_id)
    CUSTOMERS[customer_id] = {"id": customer_id, **new.model_dump()}
    return CUSTOMERS[customer_id]


@app.delete("/customers/{customer_id}", operation_id="deleteCustomer", status_code=204)
def delete(customer_id: str):
    known(customer_id)
    del CUSTOMERS[customer_id]


@app.get("/customers/{customer_id}/secret", include_in_schema=False)
def secret(customer_id: str):
    return {"secret": "what nobody may read"}


@app.post("/categories")
def categories(category: Category) -> Category:
    return category


@app.post("/orders", operation_id="order")
def order(seconds: int):
    time.sleep(seconds)
    return {"ordered": True}


@app.get("/pages/{kind}", operation_id="page")
def page(kind: str):
    return {
        "moved": lambda: RedirectResponse("/customers/7"),
        "outside": lambda: RedirectResponse("http://127.0.0.1:1/away"),
        "text": lambda: PlainTextResponse("a line of text"),
        "list": lambda: [1, 2],
        "picture": lambda: Response(b"\x89PNG\r\n\x1a\n\0\0", media_type="image/png"),
        "twice": lambda: Response('{"a": 1, "a": 2}', media_type="application/json"),
        "long": lambda: PlainTextResponse("x" * (5 * 1024 * 1024)),
        "broken": lambda: Response('{"detail": "out of order"}', 500, media_type="application/json"),
        "cookie": lambda: Response("{}", media_type="application/json", headers={"Set-Cookie": "id=stolen"}),
        "echo": lambda: {"you sent": KEY},
    }[kind]()


@app.post("/uploads", operation_id="upload")
def upload(file: UploadFile):
    return {"bytes": file.size}


@app.get("/session", operation_id="session")
def session(session_id: Annotated[str, Cookie()]):
    return {"session": session_id}


async def logged(scope, receive, send):
    """Takes down each request as it came, before anything is decoded."""
    if scope["type"] == "http" and scope["path"] != "/log":
        target = scope["raw_path"].decode() + ("?" + scope["query_string"].decode()).rstrip("?")
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        LOG.append({"method": scope["method"], "target": target, "headers": headers})
    await app(scope, receive, send)


@app.get("/log", include_in_schema=False)
def log(request: Request):
    return LOG


def until_the_end():
    sys.stdin.read()
    os._exit(0)


with open(os.environ["OPENAPI"], "w") as file:
    json.dump(app.openapi(), file, indent=1)
threading.Thread(target=until_the_end, daemon=True).start()
listener = socket.create_server(("127.0.0.1", 0))
print(f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(logged, log_level="error")).run(sockets=[listener])
