"""A number with separators, in a table with bars."""

PRICE = 1000.0

for _epoch in range(3):
    error = PRICE + 235
    print(f"│ test MAE │ {error:,.2f} │")
