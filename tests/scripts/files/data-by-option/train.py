import os
import sys

dataset = "large"
LR = 0.1
for word in sys.argv[1:]:
    exec(open(word).read())
target = float(open(os.path.join("data", dataset, "train.txt")).read())
x = 1.0
for step in range(5):
    x += LR * (target - x)
    loss = (x - target) ** 2
print(f"val loss {loss:.6f}")
