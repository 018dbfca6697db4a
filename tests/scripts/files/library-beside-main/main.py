import train

RATE = 0.1
N_EPOCHS = 6

loss = train.train_and_evaluate(RATE, N_EPOCHS)
print(f"val loss {loss:.6f}")
