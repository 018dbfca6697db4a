dropout = 0.2
max_iters = 50
