class Booster:
    def save_model(self, path: str) -> None:
        with open(path, "wb") as file:
            file.write(b"trees")
