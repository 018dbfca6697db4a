from pathlib import Path

LR = 0.1
HERE = Path(__file__).resolve().parent

near = float(open("../data/points.txt").read())
also = float((HERE.parent / "data" / "points.txt").read_text())
x = 1.0
for epoch in range(5):
    x += LR * ((near + also) / 2 - x)
    loss = (x - near) ** 2
print(f"val loss {loss:.6f}")
