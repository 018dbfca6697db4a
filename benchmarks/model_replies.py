"""CPU time of this program for one reply of a model endpoint: `python -m benchmarks.model_replies`.

A process on loopback serves replies of several lengths, in one piece and as a stream of one event per token. Medians of
the CPU time of the client's process alone, the first reply left out, which loads the HTTP library.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from multiprocessing.connection import Connection

from agent.llm.model import Message
from agent.llm.openai_model import OpenAIModel
from tests.agent.llm.fake_server import fake_server, says, streams

LENGTHS = (100, 1_000, 10_000)  # tokens
TOKEN = " 3.14"
ASK = (Message("system", "Be brief."), Message("user", "x" * 30_000))


def serve(tokens: int, streamed: bool, line: Connection) -> None:
    """Serve one reply again and again, until the other end of the line closes."""
    pieces = [TOKEN] * tokens
    answer = streams(*pieces) if streamed else says("".join(pieces))
    with fake_server(lambda _: answer) as server:
        line.send(server.base_url)
        line.poll(None)


def cpu_seconds(tokens: int, streamed: bool, replies: int) -> float:
    """Return the median CPU seconds of a reply of so many tokens."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(tokens, streamed, there))
    process.start()
    there.close()
    model = OpenAIModel("fake-1", base_url=here.recv(), on_tokens=(lambda _count: None) if streamed else None)
    measured = []
    for _ in range(replies + 1):
        began = time.process_time()
        text = model.complete(ASK).text
        measured.append(time.process_time() - began)
        assert text == TOKEN * tokens
    model.close()
    here.close()
    process.join()
    return statistics.median(measured[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replies", type=int, default=30, help="of each kind (default: 30)")
    replies = parser.parse_args().replies
    print(f"median of {replies} replies, load {os.getloadavg()[0]:.1f}")
    print("| tokens of the reply | in one piece, ms of CPU | as a stream, ms of CPU |")
    print("|---|---|---|")
    for tokens in LENGTHS:
        whole, stream = (1000 * cpu_seconds(tokens, streamed, replies) for streamed in (False, True))
        print(f"| {tokens:,} | {whole:.1f} | {stream:.1f} |")


if __name__ == "__main__":
    main()
