#!/usr/bin/env python3
"""Attack a server of one's own and tell what it answered and what others noticed: a Markdown table.

Starts `cllm serve` with a key and the default limits, runs one attack after the other, and from a process of its own asks
/health all the while. Slowhttptest's attacks run too where that program is installed. Standard library only.

    .venv/bin/python tools/attack.py --model models/qwen3-0.6b-q4_k_m.gguf --seconds 15 --idle 10000
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import multiprocessing
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

KEY = "sk-attack"
POST = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n".encode()


@dataclass
class Target:
    """The server under attack."""

    process: subprocess.Popen[bytes]
    port: int
    seconds: float
    n_idle: int

    def memory_mb(self) -> float:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6


def sized(n: int) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % n


# ---- connections


async def read_answer(reader: asyncio.StreamReader, limit_s: float) -> str:
    """`408`, or how it ended without an answer."""
    try:
        head = await asyncio.wait_for(reader.read(1 << 16), limit_s)
        while head and await asyncio.wait_for(reader.read(1 << 16), limit_s):
            pass
    except TimeoutError:
        return "left open"
    except OSError:
        return "reset"
    found = re.match(rb"HTTP/1.1 (\d+)", head)
    return found.group(1).decode() if found else "closed"


async def talk(target: Target, *pieces: bytes, pause: float = 0, wait: float = 60) -> str:
    """Send pieces with a pause after each until they are all sent or the server has had enough."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    except OSError:
        return "not connected"
    answer = asyncio.ensure_future(read_answer(reader, wait))
    try:
        for piece in pieces:
            if answer.done():
                break
            writer.write(piece)
            await writer.drain()
            if pause:
                await asyncio.wait([answer], timeout=pause)
    except OSError:
        pass
    result = await answer
    writer.close()
    return result


async def crowd(target: Target, n: int, *pieces: bytes, pause: float = 0, wait: float = 60) -> Counter[str]:
    """n clients that all do the same."""
    return Counter(await asyncio.gather(*(talk(target, *pieces, pause=pause, wait=wait) for _ in range(n))))


async def again_and_again(target: Target, n: int, *pieces: bytes) -> Counter[str]:
    """n clients that each do the same until the time is up."""
    end = time.monotonic() + target.seconds
    seen: Counter[str] = Counter()

    async def one() -> None:
        while time.monotonic() < end:
            seen[await talk(target, *pieces)] += 1

    await asyncio.gather(*(one() for _ in range(n)))
    return seen


# ---- attacks


async def nothing(target: Target) -> Counter[str]:
    await asyncio.sleep(target.seconds)
    return Counter()


async def slow_heads(target: Target) -> Counter[str]:
    return await crowd(target, 1000, *[b"GET /health HTTP/1.1\r\n"[i : i + 1] for i in range(20)], pause=1)


async def slow_bodies(target: Target) -> Counter[str]:
    return await crowd(target, 1000, sized(1_000_000), *[b"{"] * int(2 * target.seconds + 40), pause=1)


async def slow_readers(target: Target) -> Counter[str]:
    """Large answers that nobody reads: the client's buffer is small, and it sleeps."""
    text = b'{"text":"' + b"a b c d " * 100_000 + b'"}'
    ask = POST.replace(b"/v1/completions", b"/encode") + b"Content-Length: %d\r\n\r\n" % len(text) + text

    async def one() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=1024)
        writer.write(ask)
        await writer.drain()
        await asyncio.sleep(target.seconds)
        writer.close()
        return "not read"

    return Counter(await asyncio.gather(*(one() for _ in range(50))))


async def idle(target: Target) -> Counter[str]:
    return await crowd(target, target.n_idle, wait=target.seconds + 30)


async def nested(target: Target) -> Counter[str]:
    body = b'{"prompt":' + b"[" * 8_000_000
    return await again_and_again(target, 8, sized(len(body)), body)


async def many_values(target: Target) -> Counter[str]:
    body = b'{"prompt":[' + b"1," * 4_000_000 + b"1]}"
    return await again_and_again(target, 8, sized(len(body)), body)


async def allowed_values(target: Target) -> Counter[str]:
    body = b'{"prompt":[' + b"1," * 250_000 + b"1]}"
    return await again_and_again(target, 8, sized(len(body)), body)


async def huge(target: Target) -> Counter[str]:
    return await again_and_again(target, 8, sized(100_000_000), *[b" " * 65536] * 1526)


async def huge_chunked(target: Target) -> Counter[str]:
    chunk = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
    return await again_and_again(target, 8, POST + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 1526)


async def held(target: Target) -> Counter[str]:
    """Large bodies that lack their end, more of them than may be in memory."""
    return await crowd(target, 64, sized(8_000_000), *[b" " * 999_999] * 8)


async def without_key(target: Target) -> Counter[str]:
    return await again_and_again(target, 16, sized(8_000_000).replace(KEY.encode(), b"sk-guess"), b" " * 65536)


async def noise(target: Target) -> Counter[str]:
    return await again_and_again(target, 16, bytes(range(256)) * 16)


async def many_fields(target: Target) -> Counter[str]:
    return await again_and_again(target, 16, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000 + b"\r\n")


async def pipelined(target: Target) -> Counter[str]:
    ask = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    return await again_and_again(target, 8, ask * 1000 + ask.replace(b"Host: x", b"Connection: close"))


async def smuggled(target: Target) -> Counter[str]:
    ask = POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    return await again_and_again(target, 16, ask)


async def requests(target: Target) -> Counter[str]:
    body = b'{"prompt":"Once","max_tokens":2000,"timeout_ms":%d}' % int(1000 * target.seconds)
    return await crowd(target, 800, sized(len(body)), body, wait=target.seconds + 60)


ATTACKS: dict[str, Callable[[Target], Awaitable[Counter[str]]]] = {
    "none": nothing,
    "1,000 heads, a byte a second": slow_heads,
    "1,000 bodies, a byte a second": slow_bodies,
    "50 large answers that nobody reads": slow_readers,
    "{idle} idle connections": idle,
    "8 MB of `[`, 8 at once": nested,
    "4 million JSON values, 8 at once": many_values,
    "250,000 JSON values, 8 at once": allowed_values,
    "100 MB bodies, 8 at once": huge,
    "100 MB bodies in chunks, 8 at once": huge_chunked,
    "64 bodies of 8 MB that lack their end": held,
    "8 MB bodies with a wrong key, 16 at once": without_key,
    "noise, 16 at once": noise,
    "5,000 header fields, 16 at once": many_fields,
    "1,001 pipelined requests, 8 at once": pipelined,
    "a length and chunks, 16 at once": smuggled,
    "800 long requests at once": requests,
}


async def slowhttptest(target: Target, mode: str) -> Counter[str]:
    """How it ended by that program's own words, and when."""
    command = ["slowhttptest", mode, "-c", "1000", "-r", "500", "-i", "1", "-l", str(int(target.seconds + 60)), "-p", "3",
               "-u", f"http://127.0.0.1:{target.port}/health"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = re.sub(r"\x1b\[[\d;]*m", "", (await process.communicate())[0].decode(errors="replace"))  # it likes colours
    found = re.search(r"Test ended on (\d+)\w+ second\s+Exit status:\s+(.+)", text)
    return Counter([f"{found.group(2).strip()} in second {found.group(1)}" if found else "no result"])


for _mode, _name in (("-H", "slow heads"), ("-B", "slow bodies"), ("-X", "slow readers")):
    if shutil.which("slowhttptest"):
        ATTACKS[f"slowhttptest {_mode}, 1,000 {_name}"] = lambda target, mode=_mode: slowhttptest(target, mode)


# ---- what others notice


def watch(port: int, stop: Event, out: multiprocessing.SimpleQueue[list[float]]) -> None:
    """Ask /health on new connections, a few times in each tenth of a second; milliseconds, infinity for a refusal."""
    times = []
    while not stop.is_set():
        start = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", "/health")
            ok = connection.getresponse().read() and True
        except (OSError, http.client.HTTPException):
            ok = False
        connection.close()
        times.append((time.monotonic() - start) * 1000 if ok else float("inf"))
        time.sleep(0.02)
    out.put(times)


@dataclass
class Row:
    """A line of the table."""

    name: str
    answers: Counter[str]
    health_ms: list[float]
    memory: tuple[float, float, float]  # before, at most, after; MB

    def health(self) -> str:
        good = sorted(t for t in self.health_ms if t != float("inf"))
        refused = len(self.health_ms) - len(good)
        if not good:
            return "none of them | | "
        shown = [good[len(good) // 2], good[int(len(good) * 0.99)], good[-1]]
        note = f" ({refused} of {len(self.health_ms)} not connected)" if refused else ""
        return " | ".join(f"{t:.1f}" for t in shown) + note

    def markdown(self) -> str:
        answers = ", ".join(f"{what} × {n:,}" if n > 1 else what for what, n in self.answers.most_common()) or "–"
        return f"| {self.name} | {answers} | {self.health()} | {' / '.join(f'{m:.0f}' for m in self.memory)} |"


async def highest_memory(target: Target, stop: asyncio.Event) -> float:
    most = 0.0
    while not stop.is_set():
        most = max(most, target.memory_mb())
        await asyncio.sleep(0.05)
    return most


async def run(target: Target, name: str, attack: Callable[[Target], Awaitable[Counter[str]]]) -> Row:
    stop, out = multiprocessing.Event(), multiprocessing.SimpleQueue()
    watcher = multiprocessing.Process(target=watch, args=(target.port, stop, out))
    before, done = target.memory_mb(), asyncio.Event()
    watcher.start()
    most = asyncio.ensure_future(highest_memory(target, done))
    answers = await attack(target)
    done.set()
    stop.set()
    times = await asyncio.to_thread(out.get)
    watcher.join()
    at_most = await most
    await asyncio.sleep(1)
    return Row(name.replace("{idle}", f"{target.n_idle:,}"), answers, times, (before, at_most, target.memory_mb()))


def start(args: argparse.Namespace, folder: Path) -> Target:
    """The server, ready."""
    log = folder / "log"
    command = [str(args.bin), "serve", "--model", str(args.model), "--port", "0", "--api-key", KEY, "--kv-ready-mb", "0", *args.flags]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=out)
    while not (found := re.search(r"listening port=(\d+)(?s:.*) ready ", log.read_text(encoding="utf-8"))):
        if process.poll() is not None:
            sys.exit(log.read_text(encoding="utf-8"))
        time.sleep(0.05)
    return Target(process, int(found.group(1)), args.seconds, args.idle)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=Path("build/release/cllm"))
    parser.add_argument("--model", type=Path, default=Path("models/smollm2-135m-instruct-q4_1.gguf"))
    parser.add_argument("--seconds", type=float, default=15, help="length of an attack that has no end of its own")
    parser.add_argument("--idle", type=int, default=2000, help="idle connections; descriptors permitting")
    parser.add_argument("--only", default="", help="attacks whose name contains this")
    parser.add_argument("flags", nargs="*", help="further flags of the server, behind --")
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if args.idle + 100 > hard:
        args.idle = hard - 100
        print(f"at most {hard} descriptors: {args.idle} idle connections", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        target = start(args, Path(folder))
        print("| attack | answers | health p50, ms | p99 | max | memory before / at most / after, MB |\n|---|---|---:|---:|---:|---|")
        for name, attack in ATTACKS.items():
            if args.only in name:
                print(asyncio.run(run(target, name, attack)).markdown(), flush=True)
        target.process.send_signal(signal.SIGTERM)
        target.process.send_signal(signal.SIGTERM)
        return target.process.wait(60)


if __name__ == "__main__":
    sys.exit(main())
