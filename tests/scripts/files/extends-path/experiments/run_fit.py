import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from toolbox import shapes

LR = 0.1

x = 1.0
for step in range(5):
    x -= LR * 2 * (x - 0.3)
    loss = shapes.target(x)
print(f"val loss {loss:.6f}")
