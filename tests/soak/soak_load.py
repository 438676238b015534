"""The load: clients of every kind at once, and a tally of what became of each request."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from soak_client import Answer, Broken, Connection, ask_once, request_bytes
from soak_jobs import BAD, GARBAGE, Job, Outcome, outcome_of

KINDS = {"whole": 40, "kept": 25, "slow": 6, "leave": 18, "bad": 6, "garbage": 3, "ask": 4}  # relative frequency
MOST_NAMED = 20  # faults that are described, of possibly many


@dataclass
class Tally:
    """What became of the requests. `wrong` and `lost` are faults of the server."""

    done: Counter[str] = field(default_factory=Counter)  # by kind: answered as they must be
    refused: int = 0  # 429, honestly
    wrong: int = 0
    lost: int = 0
    faults: list[str] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)  # (time of the end, seconds)

    def fault(self, kind: str, text: str, lost: bool = False) -> None:
        if lost:
            self.lost += 1
        else:
            self.wrong += 1
        if len(self.faults) < MOST_NAMED:
            self.faults.append(f"{kind}: {text}")


@dataclass
class Load:
    port: int
    jobs: list[Job]
    references: list[Outcome]
    patience_s: float  # for an answer
    tally: Tally = field(default_factory=Tally)

    # ---- one request each

    def judge(self, kind: str, i: int, answer: Answer) -> bool:
        """Is it the lone run's answer, or an honest refusal? True: it was answered."""
        if answer.status == 429:
            if 1 <= int(answer.headers.get("retry-after", "0")) <= 600 and "error" in answer.json:
                self.tally.refused += 1
            else:
                self.tally.fault(kind, f"429 without Retry-After or error: {answer.headers} {answer.body[:200]!r}")
            return False
        try:
            got = outcome_of(self.jobs[i], answer)
        except (ValueError, KeyError, IndexError, TypeError) as exc:
            self.tally.fault(kind, f"job {i}: {exc!r}")
            return False
        if got != self.references[i]:
            self.tally.fault(kind, f"job {i}: {got} instead of {self.references[i]}")
            return False
        self.tally.done[kind] += 1
        self.tally.latencies.append((time.monotonic(), answer.seconds))
        return True

    def request(self, i: int) -> bytes:
        return request_bytes("POST", self.jobs[i].path, self.jobs[i].body)

    async def whole(self, rng: random.Random, kind: str = "whole") -> None:
        i = rng.randrange(len(self.jobs))
        try:
            answer = await ask_once(self.port, self.request(i), self.patience_s)
        except Broken as exc:
            self.tally.fault(kind, f"job {i}: {exc}", lost=True)
            return
        if not self.judge(kind, i, answer):
            await asyncio.sleep(rng.uniform(0.1, 0.4))

    async def slow(self, rng: random.Random) -> None:
        """A stream whose reader rests between pieces."""
        i = rng.choice([i for i, job in enumerate(self.jobs) if job.streamed])
        try:
            answer = await ask_once(self.port, self.request(i), self.patience_s, True, lambda: asyncio.sleep(rng.uniform(0, 0.05)))
        except Broken as exc:
            self.tally.fault("slow", f"job {i}: {exc}", lost=True)
            return
        self.judge("slow", i, answer)

    async def kept(self, rng: random.Random) -> None:
        """A few requests on one connection."""
        connection = Connection(self.port)
        try:
            async with asyncio.timeout(self.patience_s):
                await connection.open()
                for _ in range(rng.randint(2, 5)):
                    i = rng.randrange(len(self.jobs))
                    self.judge("kept", i, await connection.ask(self.request(i)))
        except (Broken, TimeoutError, OSError) as exc:
            self.tally.fault("kept", repr(exc), lost=True)
        finally:
            if hasattr(connection, "writer"):
                connection.close()

    async def leave(self, rng: random.Random) -> None:
        """Go away at a random moment: within the request, before the answer, within it."""
        request = self.request(rng.randrange(len(self.jobs)))
        connection = await Connection(self.port).open()
        if rng.random() < 0.2:
            request = request[: rng.randrange(len(request))]
        connection.send(request)
        await asyncio.sleep(rng.random() ** 2 * 0.5)
        if rng.random() < 0.5:
            try:
                await asyncio.wait_for(connection.read_some(rng.choice([1, 200, 4000])), rng.random())
            except TimeoutError:
                pass
        if rng.random() < 0.5:
            connection.reset()
        else:
            connection.close()
        self.tally.done["leave"] += 1

    async def bad(self, rng: random.Random) -> None:
        method, path, body, status = rng.choice(BAD)
        answer = await ask_once(self.port, request_bytes(method, path, body), self.patience_s)
        # While the queue is full a body is not looked at.
        if answer.status in (status, 429) and "error" in answer.json:
            self.tally.done["bad"] += 1
        else:
            self.tally.fault("bad", f"{method} {path} {body[:60]!r}: {answer.status} {answer.body[:200]!r}")

    async def garbage(self, rng: random.Random) -> None:
        """What is no HTTP: refused or dropped, never served."""
        connection = await Connection(self.port).open()
        connection.send(rng.choice(GARBAGE))
        try:
            first = await asyncio.wait_for(connection.read_some(4096), 2)
        except TimeoutError:
            first = b""
        connection.reset()
        if b" 200 " in first.split(b"\r\n")[0]:
            self.tally.fault("garbage", repr(first[:200]))
        else:
            self.tally.done["garbage"] += 1

    async def ask(self, rng: random.Random) -> None:
        path = rng.choice(["/stats", "/metrics", "/health", "/v1/models", "/model/info", "/"])
        answer = await ask_once(self.port, request_bytes("GET", path), self.patience_s)
        if answer.status == 200:
            self.tally.done["ask"] += 1
        else:
            self.tally.fault("ask", f"{path}: {answer.status} {answer.body[:200]!r}")

    # ---- many

    async def client(self, seed: int, until: float) -> None:
        rng = random.Random(seed)
        kinds, weights = list(KINDS), list(KINDS.values())
        while time.monotonic() < until:
            kind = rng.choices(kinds, weights)[0]
            try:
                await getattr(self, kind)(rng)
            except (Broken, OSError) as exc:
                self.tally.fault(kind, repr(exc), lost=True)

    async def burst(self, rng: random.Random, n: int) -> None:
        """So many connections at the same moment, each with a request: more than the queue takes."""
        await asyncio.gather(*(self.whole(random.Random(rng.random()), "burst") for _ in range(n)))

    async def bursts(self, seed: int, until: float, n: int, every_s: float) -> None:
        rng = random.Random(seed)
        while time.monotonic() + every_s < until:
            await asyncio.sleep(every_s)
            await self.burst(rng, n)

    async def run(self, seconds: float, clients: int, burst: int, burst_every_s: float, seed: int) -> None:
        until = time.monotonic() + seconds
        await asyncio.gather(
            *(self.client(seed * 1000 + i, until) for i in range(clients)),
            self.bursts(seed, until, burst, burst_every_s),
        )


async def reference_runs(port: int, jobs: list[Job], patience_s: float) -> list[Outcome]:
    """What each job gives when it is alone."""
    return [outcome_of(job, await ask_once(port, request_bytes("POST", job.path, job.body), patience_s)) for job in jobs]
