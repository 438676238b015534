"""Parts of `bench/peers.py`. Whatever measures comes from `tools/benchlib`; here are only the servers and the tables."""
