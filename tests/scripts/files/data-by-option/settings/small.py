dataset = "small"
