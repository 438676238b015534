"""Synthetic GGUF models: block codecs, tokenizers, architectures and the writer behind make_model.py."""
