"""Write where the host, later trials or the scorer would read: the system, the script, the data, kernel settings."""

import glob
import os
import site
import sys

targets = ["/planted", "/usr/planted", "/etc/planted", "/task/train.py", "/task/score.py", "/task/sitecustomize.py"]
targets += ["/data/train.bin", "/data/meta.json", "/out/second", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"]
targets += [f"{folder}/planted.pth" for folder in (*site.getsitepackages(), sys.prefix)]
targets += [os.__file__, sys.executable, "/sys/kernel/uevent_helper"]
targets += [*glob.glob("/sys/fs/cgroup/*.max"), *glob.glob("/sys/fs/cgroup/*/*limit_in_bytes")]
targets += [*glob.glob("/sys/fs/cgroup/*/release_agent"), *glob.glob("/sys/fs/cgroup/release_agent")]
for path in targets:
    try:
        with open(path, "r+b" if os.path.exists(path) else "wb") as file:
            file.write(b"|/tmp/planted")
        print("BREACH wrote", path)
    except OSError:
        pass
