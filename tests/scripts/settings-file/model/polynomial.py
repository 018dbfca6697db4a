"""A polynomial of one variable."""


class Polynomial:
    def __init__(self, degree, scale):
        self.weights = [0.0] * (degree + 1)
        self.scale = scale

    def predict(self, x):
        return sum(w * (self.scale * x) ** power for power, w in enumerate(self.weights))

    def loss(self, rows):
        return sum((self.predict(x) - y) ** 2 for x, y in rows) / len(rows)

    def gradient(self, rows):
        slopes = [0.0] * len(self.weights)
        for x, y in rows:
            error = self.predict(x) - y
            for power in range(len(slopes)):
                slopes[power] += 2 * error * (self.scale * x) ** power / len(rows)
        return slopes
