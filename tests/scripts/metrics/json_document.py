"""One document with the results at the end, nested."""

import json

LR = 0.1

for _epoch in range(3):
    loss = (LR - 0.3) ** 2
results = {"settings": {"lr": LR}, "validation": {"rmse": loss, "n_rows": 10}}
with open("results.json", "w") as file:
    json.dump(results, file)
