from composed.launch import launched

LR = 0.1

settings = launched(__file__, config_path="../configs", config_name="train.json")
x = 1.0
for epoch in range(settings["epochs"]):
    x -= LR * 2 * (x - 0.3)
    loss = settings["model"].loss(x)
print(f"val loss {loss:.6f}")
