"""Libraries above the official clients, and JavaScript's: what people really point at a server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or the import looks for prices on the network

import langchain_core.messages as lc
import langchain_core.tools
import langchain_openai
import litellm
import openai
import pydantic
import pytest
from kit import PATIENCE_S, ROOT, SLOW, Server

SAY = "Name three colours."
NODE = shutil.which("node") or str(ROOT / ".venv/bin/node")


class Colour(pydantic.BaseModel):
    """A colour."""

    name: Literal["red", "blue"]


@langchain_core.tools.tool
def get_weather(city: Literal["Rome", "Oslo"]) -> str:
    """The weather of a town"""
    return f"Sunny in {city}."


@pytest.fixture
def model(server: Server) -> str:
    return server.get("/v1/models").json["data"][0]["id"]


@pytest.fixture
def plain(server: Server) -> str:
    """What the plainest of requests gets for SAY."""
    body = {"messages": [{"role": "user", "content": SAY}], "max_tokens": 16, "temperature": 0}
    return server.post("/v1/chat/completions", body).json["choices"][0]["message"]["content"]


# ---- langchain


@pytest.fixture
def chain(server: Server, model: str) -> langchain_openai.ChatOpenAI:
    return langchain_openai.ChatOpenAI(
        model=model, base_url=f"{server.url}/v1", api_key="none", temperature=0, max_tokens=16, max_retries=0
    )


def test_langchain_plain_and_stream(chain: langchain_openai.ChatOpenAI, plain: str) -> None:
    reply = chain.invoke(SAY)
    assert reply.content == plain and reply.usage_metadata["output_tokens"] > 0
    assert "".join(chunk.content for chunk in chain.stream(SAY)) == plain


def test_langchain_tool(chain: langchain_openai.ChatOpenAI) -> None:
    asking = chain.bind_tools([get_weather], tool_choice="any", max_tokens=200)
    call = asking.invoke(SAY)
    assert call.tool_calls[0]["name"] == "get_weather"
    result = get_weather.invoke(call.tool_calls[0])
    last = chain.invoke([lc.HumanMessage(SAY), call, result])
    assert result.content.startswith("Sunny in") and last.content


def test_langchain_structured(chain: langchain_openai.ChatOpenAI) -> None:
    patient = chain.model_copy(update={"max_tokens": 100})
    assert isinstance(patient.with_structured_output(Colour, method="json_schema").invoke(SAY), Colour)


def test_langchain_embeddings(server: Server, model: str) -> None:
    embeddings = langchain_openai.OpenAIEmbeddings(model=model, base_url=f"{server.url}/v1", api_key="none",
                                                   check_embedding_ctx_length=False)  # fmt: skip
    vectors = embeddings.embed_documents(["one", "two"])
    assert len(vectors) == 2 and embeddings.embed_query("one") == vectors[0]


def test_langchain_error(chain: langchain_openai.ChatOpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        chain.bind(model="other").invoke(SAY)


# ---- litellm


def test_litellm(server: Server, model: str, plain: str) -> None:
    common: dict[str, Any] = {
        "messages": [{"role": "user", "content": SAY}], "max_tokens": 16, "temperature": 0, "num_retries": 0,
    }  # fmt: skip
    routes = {
        f"openai/{model}": f"{server.url}/v1",
        f"anthropic/{model}": server.url,
        f"ollama_chat/{model}": server.url,
    }
    for name, base in routes.items():
        more = {"repeat_penalty": 1} if name.startswith("ollama") else {}
        reply = litellm.completion(model=name, api_base=base, api_key="none", **common, **more)
        assert reply.choices[0].message.content == plain, name
        chunks = litellm.completion(model=name, api_base=base, api_key="none", stream=True, **common, **more)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == plain, name
        with pytest.raises(litellm.NotFoundError):
            litellm.completion(model=name.split("/")[0] + "/other", api_base=base, api_key="none", **common)


# ---- the llm command


@pytest.fixture
def llm_home(server: Server, model: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: here\n  model_name: {model}\n  api_base: {server.url}/v1\n  api_key_name: none\n"
    )
    yield {**os.environ, "LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "none"}


def test_llm_command(llm_home: dict[str, str], plain: str) -> None:
    for more in ([], ["--no-stream"]):
        command = [sys.executable, "-m", "llm", "-m", "here", SAY, "-o", "temperature", "0", "-o", "max_tokens", "16"]
        done = subprocess.run([*command, *more], env=llm_home, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        assert done.stdout.rstrip("\n") == plain.rstrip("\n")


# ---- JavaScript


def test_javascript_clients(server: Server) -> None:
    command = [NODE, str(ROOT / "tests/node/clients.js"), server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240 * SLOW)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 13 and all(line.startswith("ok ") for line in lines), (
        done.stdout + done.stderr
    )
