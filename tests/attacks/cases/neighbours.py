"""Read other trials, the journal and the repository; plant a hook in it."""

import os

for place in (
    os.environ["HOST_PLACE"],
    "/proc/1/root" + os.environ["HOST_PLACE"],
    "/task/.git",
    "/task/..",
    "/data/..",
):
    try:
        names = os.listdir(place)
    except OSError:
        continue
    if {"HEAD", "hooks", "journal.jsonl", "trials", "val", "val.bin"} & set(names):
        print("BREACH", place, names)
for path in ("/task/.git/hooks/post-commit", "/task/.gitattributes", "/task/hook"):
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").write("#!/bin/sh\ntouch /tmp/hooked\n")
        print("BREACH wrote", path)
    except OSError:
        pass
