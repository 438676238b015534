"""llama.cpp's HTTP server by way of xllamacpp: serve_llamacpp.py MODEL PORT THREADS PARALLEL CONTEXT.

Serves until SIGTERM. Weight repacking, batch sizes and the reuse of a slot's earlier prompt stay as llama.cpp has
them. Its further cache of whole prompt states in host memory (8 GiB) is off: it would only add copying and memory.
"""

from __future__ import annotations

import signal
import sys

import xllamacpp


def main() -> None:
    """Start and wait."""
    model, port, threads, parallel, context = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    params.n_parallel = int(parallel)
    params.n_ctx = int(context)
    params.cont_batching = True
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    params.cpuparams.n_threads = int(threads)
    params.cpuparams_batch.n_threads = int(threads)
    params.n_threads_http = int(parallel) + 4
    params.cache_ram_mib = 0
    params.verbosity = -1
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # before the server's threads are made
    server = xllamacpp.Server(params)
    print(f"listening on {server.listening_address}", flush=True)
    signal.sigwait(stop)
    del server


if __name__ == "__main__":
    main()
