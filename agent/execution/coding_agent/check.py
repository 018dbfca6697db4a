#!/usr/bin/env python3
"""Rehearses the script and prints the result. A coding agent runs it as `./check` in its folder."""

import sys
import urllib.error
import urllib.request
from pathlib import Path


def main() -> None:
    base_url, script = Path(__file__).with_name(".check").read_text(encoding="utf-8").split("\n")[:2]
    source = Path(__file__).with_name(script).read_bytes()
    request = urllib.request.Request(f"{base_url}/check", data=source, headers={"Content-Type": "text/x-python"})
    try:
        with urllib.request.urlopen(request, timeout=3600) as reply:
            print(reply.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        sys.exit(error.read().decode(errors="replace"))
    except OSError as error:
        sys.exit(f"the check cannot be reached: {error}")


if __name__ == "__main__":
    main()
