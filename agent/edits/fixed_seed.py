"""Whether a script chooses its own training seed, although the harness sets one."""

import ast

_SEEDING = {"seed", "seed_all", "manual_seed", "manual_seed_all", "default_rng", "RandomState", "PRNGKey", "Random"}


def fixed_seeds(source: str) -> tuple[str, ...]:
    """Return the calls that seed a generator with a literal, as source text, e.g. `torch.manual_seed(1337)`.

    It reads calls by their last name and so sees what scripts usually do, not what could be hidden. Raises
    SyntaxError if the script does not parse.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _SEEDING and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, int):
            found.append(ast.unparse(node)[:60])
    return tuple(found)
