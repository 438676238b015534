"""The closed loop: `concurrency` workers, each with its own connection, share one list of requests."""

from __future__ import annotations

import sys
import threading
from time import process_time

from .client import Client, perform
from .options import Options
from .progress import Progress
from .prompts import WARMUP_PROMPT
from .protocols import Protocol
from .result import PhaseResult, RequestRecord
from .stats import summarise

WARMUP_TOKENS = 8


def make_client(options: Options) -> Client:
    """A connection as the options want it."""
    return Client(options.server_url, options.timeout, options.api_key)


def warm_up(options: Options, protocol: Protocol) -> list[RequestRecord]:
    """Send the short requests that are not counted; a failure is told, the test says the rest."""
    client = make_client(options)
    max_tokens = min(WARMUP_TOKENS, options.max_tokens)
    records = []
    for index in range(options.warmup):
        record = RequestRecord(index, -1)
        perform(client, protocol, protocol.body(WARMUP_PROMPT, max_tokens, options.seed), max_tokens, record)
        if record.error is not None:
            print(f"warning: warm-up request {index + 1} failed: {record.error}", file=sys.stderr)
        records.append(record)
    client.close()
    return records


class ClosedLoop:
    """One test. A worker takes the next request as soon as its last one is answered."""

    def __init__(self, options: Options, protocol: Protocol, prompts: list[str], workers: int) -> None:
        self._options, self._protocol = options, protocol
        self._workers = min(workers, options.requests)
        self._lock = threading.Lock()
        self._next = 0
        self._stop = False
        self.records = [RequestRecord(i, i % len(prompts)) for i in range(options.requests)]
        # Encoded beforehand: the client must not take CPU from the server while the clock runs.
        self._bodies = [protocol.body(prompts[r.prompt_index], options.max_tokens, self._seed(r.index))
                        for r in self.records]

    def _seed(self, index: int) -> int | None:
        return None if self._options.seed is None else self._options.seed + index

    def _take(self) -> int | None:
        """The next request's index; None when there is none."""
        with self._lock:
            if self._stop or self._next == len(self.records):
                return None
            self._next += 1
            return self._next - 1

    def _work(self, progress: Progress) -> None:
        client = make_client(self._options)
        max_tokens = self._options.max_tokens
        index = self._take()
        while index is not None:
            perform(client, self._protocol, self._bodies[index], max_tokens, self.records[index])
            progress.step()
            index = self._take()
        client.close()

    def run(self, label: str) -> PhaseResult:
        """Run all requests and sum them up."""
        progress = Progress(len(self.records), label, self._options.no_progress)
        threads = [threading.Thread(target=self._work, args=(progress,), daemon=True)
                   for _ in range(self._workers)]
        cpu = process_time()
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            self._stop = True
            raise
        finally:
            progress.close()
        return summarise(self.records, self._options.max_tokens, process_time() - cpu)
