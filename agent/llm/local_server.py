"""Serves one GGUF file as an OpenAI-compatible endpoint on loopback: `python -m agent.llm.local_server FILE`.

LocalModel runs it as a child process. It prints `READY URL` once it answers, and ends when its standard input closes,
so it never outlives its parent, however the parent ends. Only this file uses `xllamacpp`.
"""

import argparse
import os
import sys
import time
import urllib.error
import urllib.request


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("gguf")
    parser.add_argument("--alias", required=True)
    parser.add_argument("--context-tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()

    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = arguments.gguf
    settings.model_alias = {arguments.alias}
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0  # any free port
    settings.n_ctx = arguments.context_tokens
    settings.n_parallel = 1
    settings.n_batch, settings.n_ubatch = 2048, 512
    settings.cpuparams.n_threads = arguments.threads
    settings.cpuparams_batch.n_threads = arguments.threads
    settings.use_jinja = True  # use the file's own chat template
    settings.fit_params = False
    settings.cache_ram_mib = 0
    settings.offline = True
    server = xllamacpp.Server(settings)
    _wait_until_healthy(server.listening_address)
    print(f"READY {server.listening_address}/v1", flush=True)
    sys.stdin.buffer.read()  # until the parent closes it or ends
    os._exit(0)  # the server's threads would block a normal exit


def _wait_until_healthy(address: str) -> None:
    """Return once /health answers 200; it answers 503 while the file loads."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            opener.open(f"{address}/health", timeout=10).close()
            return
        except urllib.error.HTTPError as answer:
            if answer.code != 503:
                raise
        time.sleep(0.05)


if __name__ == "__main__":
    main()
