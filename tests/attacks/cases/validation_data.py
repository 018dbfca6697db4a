"""Search every file that can be seen, outside of the Python installation, for the validation tokens."""

import os
import sys

needle = bytes.fromhex(os.environ["HOST_NEEDLE"])
skipped = {sys.prefix, sys.base_prefix, "/usr", "/proc", "/sys", "/dev"}
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in skipped]
    for name in names:
        path = os.path.join(folder, name)
        try:
            if os.path.isfile(path) and needle in open(path, "rb").read():
                print("BREACH the validation data is in", path)
        except OSError:
            pass
