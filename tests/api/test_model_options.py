"""What an operator may say of a model beside its file: how long requests may be, and its chat template."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from kit import CLLM, MODEL, Server

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "Say hello."}]


def test_max_context(make_server: Callable[..., Server]) -> None:
    server = make_server("--max-context", "100")
    assert server.get("/v1/models").json["data"][0]["max_model_len"] == 100
    assert server.get("/model/info").data["max_sequence_length"] == 100
    assert "context=100" in server.wait_log(r"kv_pool .*").group()
    refused = server.post(CHAT, {"messages": USER, "max_tokens": 99})
    assert refused.status == 400 and "the context is 100 tokens" in refused.json["error"]["message"]
    answer = server.post("/v1/completions", {"prompt": "Once", "ignore_eos": True, "temperature": 0}).json
    assert answer["usage"]["total_tokens"] == 100 and answer["choices"][0]["finish_reason"] == "length"


def test_a_limit_above_the_model_s_own_is_the_model_s(make_server: Callable[..., Server]) -> None:
    server = make_server("--max-context", "1000000")
    assert server.get("/v1/models").json["data"][0]["max_model_len"] == 8192


def test_chat_template(make_server: Callable[..., Server], tmp_path: Path) -> None:
    template = tmp_path / "mine.jinja"
    template.write_text("{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}<assistant>", encoding="utf-8")
    server = make_server("--chat-template", str(template))
    assert server.post("/apply-template", {"messages": USER}).json["prompt"] == "<user> Say hello.\n<assistant>"
    assert server.post(CHAT, {"messages": USER, "max_tokens": 4}).status == 200


def refusal(*flags: str) -> str:
    command = [str(CLLM), "serve", "--model", str(MODEL), "--port", "0", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    return done.stderr


def test_a_template_that_cannot_be_used_is_no_start(tmp_path: Path) -> None:
    """Not a warning as with the model's own, for somebody asked for it."""
    wrong = tmp_path / "wrong.jinja"
    wrong.write_text("{% if %}", encoding="utf-8")
    said = refusal("--chat-template", str(wrong))
    assert f"{wrong}: " in said and "line 1" in said and "model_loaded" not in said
    assert "cannot open /nonexistent" in refusal("--chat-template", "/nonexistent")
    several = refusal("--model", f"other={MODEL}", "--chat-template", str(wrong))
    assert "--chat-template is for a single model" in several


def test_default_sampling(make_server: Callable[..., Server]) -> None:
    """Where a request says nothing, in every dialect; what it says goes before."""
    greedy = make_server("--default-temperature", "0", "--default-top-k", "1", "--default-repetition-penalty", "1.3")
    plain = make_server()
    said = {"temperature": 0, "top_k": 1, "repetition_penalty": 1.3}
    body = {"messages": USER, "max_tokens": 12}

    def openai(server: Server, more: dict[str, float]) -> str:
        return server.post(CHAT, body | more).json["choices"][0]["message"]["content"]

    expected = openai(plain, said)
    assert openai(greedy, {}) == expected != openai(plain, {"temperature": 0})
    assert openai(greedy, {"repetition_penalty": 1}) == openai(plain, {"temperature": 0})
    assert greedy.post("/v1/messages", body).json["content"][0]["text"] == expected
    lama = greedy.post("/api/chat", {"messages": USER, "options": {"num_predict": 12}, "stream": False})
    assert lama.json["message"]["content"] == expected
    native = {"prompt": "Once upon a time", "max_tokens": 12}
    assert greedy.post("/generate", native).data["text"] == plain.post("/generate", native | said).data["text"]
    response = greedy.post("/v1/responses", {"input": "Say hello.", "max_output_tokens": 12}).json
    assert response["temperature"] == 0 and response["output"][0]["content"][0]["text"] == expected


def test_ollama_s_own_defaults_stand_without_the_server_s(make_server: Callable[..., Server]) -> None:
    server = make_server("--default-top-p", "0.5")
    ask = {"messages": USER, "stream": False}
    options = {"num_predict": 12, "seed": 5}
    said = options | {"temperature": 0.8, "top_k": 40, "top_p": 0.5, "repeat_penalty": 1.1}
    silent, told = (server.post("/api/chat", ask | {"options": given}).json["message"] for given in (options, said))
    assert silent == told


def test_a_default_that_no_request_may_have_is_no_start() -> None:
    command = [str(CLLM), "serve", "--model", str(MODEL), "--default-top-p", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "default_top_p" in done.stderr
