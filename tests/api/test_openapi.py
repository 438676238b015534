"""/openapi.json is true: it has the server's routes, and the server answers as it says to whatever is asked."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
import schemathesis
from kit import PATIENCE_S, Server
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = (
    schemathesis.checks.not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
EXAMPLES = 12
LOOKS = ("/", "/health", "/model/info", "/stats", "/metrics", "/v1/models", "/api/tags", "/api/ps", "/api/version")
GENERATING = (
    "/generate", "/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/messages", "/api/chat", "/api/generate",
    "/generate_stream", "/benchmark", "/api/embed", "/api/embeddings",
)  # fmt: skip


@pytest.fixture(scope="module")
def document(shared_server: Server) -> dict[str, Any]:
    return shared_server.get("/openapi.json").json


@pytest.fixture(scope="module")
def schema(shared_server: Server, document: dict[str, Any]) -> schemathesis.schemas.BaseSchema:
    loaded = schemathesis.openapi.from_dict(document)
    loaded.config.update(base_url=shared_server.url)
    return loaded


def test_it_has_the_routes(shared_server: Server, document: dict[str, Any]) -> None:
    listed = {(r["method"].lower(), r["path"]) for r in shared_server.get("/").json["data"]["endpoints"]}
    described = {(method, path) for path, item in document["paths"].items() for method in item}
    assert described == listed
    summaries = {item["operationId"] for path in document["paths"].values() for item in path.values()}
    assert len(summaries) == len(listed), "operationId: one each"


def bounded(body: Any) -> Any:
    """The same request, which is done soon: how long answers get is not what is tested here."""
    if not isinstance(body, dict):
        return body
    for name in ("max_completion_tokens", "n", "concurrency", "best_of"):
        if isinstance(body.get(name), int | float) and body[name] > 2:
            body[name] = 2
    for name in ("max_tokens", "max_output_tokens", "requests"):  # without a number there is none, or a large one
        if body.get(name) is None or (isinstance(body[name], int | float) and body[name] > 2):
            body[name] = 2
    if isinstance(body.setdefault("options", {}), dict):
        body["options"]["num_predict"] = 2
    body.pop("min_tokens", None)
    return body


def try_out(schema: schemathesis.schemas.BaseSchema, path: str, method: str, examples: int) -> None:
    operation = schema[path][method]

    @hypothesis.settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(case=operation.as_strategy())
    def run(case: schemathesis.Case) -> None:
        if path in GENERATING:
            case.body = bounded({} if case.body is schemathesis.core.NOT_SET else case.body)
        case.call_and_validate(checks=CHECKS, timeout=PATIENCE_S)

    run()


@pytest.mark.parametrize("path", LOOKS)
def test_looking(schema: schemathesis.schemas.BaseSchema, path: str) -> None:
    try_out(schema, path, "GET", 1)


@pytest.mark.parametrize("path", ["/v1/models/{id}"])
def test_naming(schema: schemathesis.schemas.BaseSchema, path: str) -> None:
    try_out(schema, path, "GET", EXAMPLES)


@pytest.mark.parametrize(
    "path",
    [*GENERATING, "/encode", "/tokenize", "/detokenize", "/apply-template", "/v1/embeddings", "/v1/messages/count_tokens",
     "/api/show"],
)  # fmt: skip
def test_asking(schema: schemathesis.schemas.BaseSchema, shared_server: Server, path: str) -> None:
    try_out(schema, path, "POST", EXAMPLES)
    shared_server.wait_idle()
