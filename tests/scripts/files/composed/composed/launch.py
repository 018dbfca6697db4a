"""Does what launchers such as hydra do: reads settings beside the script, and writes a folder of its own."""

import importlib
import json
import os
import time
from typing import Any


def launched(script: str, config_path: str, config_name: str) -> dict[str, Any]:
    text = open(os.path.join(os.path.dirname(os.path.abspath(script)), config_path, config_name)).read()
    folder = os.path.join("outputs", time.strftime("%Y-%m-%d"))
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        file.write(text)
    settings: dict[str, Any] = json.loads(text)
    module, _, name = settings["model"].rpartition(".")
    settings["model"] = getattr(importlib.import_module(module), name)()
    return settings
