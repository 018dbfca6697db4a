"""A line for each entry of a dict."""

LR = 0.1
loss = (LR - 0.3) ** 2
results = dict(train_rmse=0.5, valid_rmse=loss)
for name, value in results.items():
    print(f"{name:<12} {value:.6f}")
