"""The lab's endpoints: runs, an order, figures, and the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from aioproducer.integrations import RequestEvents
from examples.lab.service import ORDERS, PATIENCE, BusyError, CreateTopic, Lab

_HERE = Path(__file__).parent
PROBLEM = "application/problem+json"


class Priority(StrEnum):
    """HIGH goes to partition 0, the rest by key to the others."""

    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"


class Order(BaseModel):
    orderId: str = Field(min_length=1, max_length=200)
    customerId: str = Field(min_length=1, max_length=200)
    priority: Priority
    amount: float = Field(gt=0, le=1_000_000)


Count = Annotated[int, Query(ge=1, le=1_000_000, description="How many records.")]
Few = Annotated[int, Query(ge=1, le=10_000, description="How many records, one after another.")]
BatchSize = Annotated[int, Query(alias="batchSize", ge=0, le=1_000_000, description="Bytes.")]
Linger = Annotated[int, Query(alias="lingerMs", ge=0, le=5_000, description="Milliseconds.")]


def make_app(
    bootstrap: str, create_topic: CreateTopic | None = None, patience: float = PATIENCE
) -> FastAPI:
    """Return the lab on a cluster that need not be there yet."""
    lab = Lab(bootstrap, create_topic, patience)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with lab.running():
            yield

    app = FastAPI(title="aioproducer lab", lifespan=lifespan)
    app.state.lab = lab
    lab.kafka["priority"].install(app, health=None)
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_exception_handler(BusyError, _busy)
    _add_runs(app, lab)
    _add_order(app, lab)
    _add_figures(app, lab)
    return app


def _add_runs(app: FastAPI, lab: Lab) -> None:
    @app.post("/api/producer/high-throughput")
    async def high_throughput(count: Count = 10_000) -> dict[str, Any]:
        return await lab.high_throughput(count)

    @app.post("/api/producer/low-latency")
    async def low_latency(count: Few = 100) -> dict[str, Any]:
        return await lab.low_latency(count)

    @app.post("/api/producer/benchmark")
    async def benchmark(
        messages: Count = 50_000, batch_size: BatchSize = 16_384, linger_ms: Linger = 5
    ) -> dict[str, Any]:
        return await lab.benchmark(messages, batch_size, linger_ms)


def _add_order(app: FastAPI, lab: Lab) -> None:
    kafka = lab.kafka["priority"]

    @app.post("/api/producer/priority-order", status_code=201)
    async def priority_order(
        order: Order,
        events: RequestEvents[bytes, bytes] = Depends(kafka.get_events, scope="function"),  # noqa: B008
    ) -> dict[str, Any]:
        metadata = await events.deliver(
            ORDERS,
            order.model_dump_json().encode(),
            key=order.customerId.encode(),
            headers=[("priority", order.priority.value.encode())],
        )
        lab.tally.add(metadata)
        lab.orders[order.priority.value] += 1
        return {
            "orderId": order.orderId,
            "priority": order.priority.value,
            "topic": metadata.topic,
            "partition": metadata.partition,
            "offset": metadata.offset,
        }


def _add_figures(app: FastAPI, lab: Lab) -> None:
    page = _page()

    @app.get("/", include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/api/producer/partition-stats")
    async def partition_stats() -> dict[str, Any]:
        return lab.partition_stats()

    @app.get("/api/live", include_in_schema=False)
    async def live(after: int = 0) -> dict[str, Any]:
        return lab.now(after)

    @app.get("/metrics")
    @app.get("/actuator/prometheus")
    async def metrics() -> Response:
        return Response(generate_latest(lab.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/health/live", include_in_schema=False)
    async def alive() -> JSONResponse:
        alive = all(kafka.health().live for kafka in lab.kafka.values())
        return JSONResponse({"live": alive}, 200 if alive else 503)

    @app.get("/health/ready", include_in_schema=False)
    async def ready() -> JSONResponse:
        ready, reasons = lab.health()
        return JSONResponse({"ready": ready, "reasons": reasons}, 200 if ready else 503)


def _page() -> str:
    """Return the page with its style and script in it: it asks for nothing else."""
    text = (_HERE / "page.html").read_text()
    for name in ("page.css", "page.js"):
        text = text.replace(f"/*{name}*/", (_HERE / name).read_text())
    return text


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    """Say in words what is wrong with a request: 400 if it is no JSON, else 422."""
    assert isinstance(error, RequestValidationError)
    reasons = []
    status = 422
    for each in error.errors():
        if each["type"] == "json_invalid":
            status = 400
            reasons.append(f"the body is no JSON: {each['ctx']['error']}")
        else:
            place = ".".join(str(part) for part in each["loc"][1:]) or "the body"
            reasons.append(f"{place}: {each['msg']}")
    return _problem(status, "; ".join(reasons))


async def _busy(request: Request, error: Exception) -> JSONResponse:
    return _problem(409, str(error))


def _problem(status: int, detail: str) -> JSONResponse:
    title = {400: "Bad Request", 409: "Conflict"}.get(status, "Unprocessable Content")
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, media_type=PROBLEM)
