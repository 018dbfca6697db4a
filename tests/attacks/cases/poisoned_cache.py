"""Leave something for the next trial: in the caches of compilers, in byte code, in shared memory."""

import os
import tempfile

user = os.environ.get("USER", "job")
places = ["/tmp", "/dev/shm", "/task/__pycache__", "/var/tmp", "/dev/mqueue", os.path.expanduser("~/.triton")]
places += [f"{tempfile.gettempdir()}/torchinductor_{user}", os.path.expanduser("~/.cache/huggingface")]
for place in places:
    if os.path.exists(f"{place}/poison"):
        print("BREACH left behind in", place)
    try:
        os.makedirs(place, exist_ok=True)
        open(f"{place}/poison", "w").write("x")
    except OSError:
        pass
