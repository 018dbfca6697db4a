import train

if __name__ == "__main__":
    for epoch in range(2):
        loss = train.train_and_evaluate(0.5, epoch)
    print(f"test loss {loss:.6f}")
