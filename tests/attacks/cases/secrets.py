"""Look for the caller's keys: in any process's environment, in home folders, in the password file."""

import glob
import os

for path in [*glob.glob("/proc/[0-9]*/environ"), *glob.glob("/proc/[0-9]*/cmdline")]:
    try:
        found = open(path, "rb").read()
    except OSError:
        continue
    if b"sk-secret-of" in found.replace(b"sk-secret-of'", b""):
        print("BREACH a key in", path)
if "OPENAI_API_KEY" in os.environ:
    print("BREACH a key in the environment")
for path in ("/root/.ssh", "/root/.netrc", "/root/.docker", "/home", "/etc/shadow"):
    try:
        if os.listdir(path) if os.path.isdir(path) else open(path).read():
            print("BREACH", path)
    except OSError:
        pass
