"""Numbers of things, as people read them."""


def counted(n: int, one: str, several: str | None = None) -> str:
    """Return `1 trial` or `3 trials`; `several` is the plural where it is not the singular with an s."""
    return f"{n} {one if n == 1 else several or one + 's'}"
