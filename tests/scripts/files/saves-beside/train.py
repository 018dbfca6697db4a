import logging
import shutil
import sqlite3

from booster import Booster

LR = 0.1

logging.basicConfig(filename="train.log", level=logging.INFO)
x = 1.0
for epoch in range(5):
    x -= LR * x
    loss = x**2
    logging.info("loss %s", loss)
Booster().save_model("model.txt")
shutil.copy("model.txt", "best.txt")
sqlite3.connect("trials.db").execute("create table trials (loss)")
print(f"val loss {loss:.6f}")
