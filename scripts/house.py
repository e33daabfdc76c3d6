"""How the house stands: modules, rooms, import floors, arrows, cycles, and what is longest.

    python scripts/house.py [PATH] [--long]

PATH is a checkout (default: this one); older ones, whose packages are flat, are counted as well.
Everything is read from the syntax trees, nothing is imported.

A room is a sub-package directly below a package (with all below it), or a module that stands there
alone. An arrow is a pair of modules, or of rooms, of which one imports the other, at its top, in a
function or for type checkers alone. A floor is one more than the highest floor that is imported;
modules that import each other in a circle share one.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("fitter", "datasets", "init_net")
"""In the order in which they may import each other: each one those before it."""
LONG_FILE, LONG_FUNCTION, MANY_PARAMETERS = 400, 60, 6
"""What `--long` lists lies above these."""

Graph = dict[str, set[str]]
"""Importer -> what it imports; every node is a key."""


@dataclass(frozen=True)
class Function:
    """A function's or a method's place and size.

    Attributes:
        place: "path:line name".
        lines: from its `def` to its end.
        parameters: all but `self` and `cls`.
    """

    place: str
    lines: int
    parameters: int


@dataclass(frozen=True)
class Module:
    """One file of a package.

    Attributes:
        name: dotted.
        path: relative to the checkout.
        lines: of the file.
        imports: dotted names that it imports, of these packages; a name inside a module too.
        functions: all of them, nested ones too.
    """

    name: str
    path: Path
    lines: int
    imports: frozenset[str]
    functions: tuple[Function, ...]


def read_modules(root: Path) -> dict[str, Module]:
    """Every module of `PACKAGES` below a checkout, by dotted name."""
    found = {}
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            path = file.relative_to(root)
            parts = path.with_suffix("").parts
            is_face = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_face else parts)
            text = file.read_text("utf-8")
            tree = ast.parse(text)
            home = name if is_face else name.rpartition(".")[0]
            found[name] = Module(
                name=name,
                path=path,
                lines=len(text.splitlines()),
                imports=frozenset(_imported(tree, home)),
                functions=tuple(_functions(tree, path)),
            )
    return found


def _imported(tree: ast.Module, home: str) -> Iterator[str]:
    """Dotted names that a module in the package `home` imports; of `from a import b` it is a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # One dot is the package itself, every further one the package around it.
            above = home.split(".")[: len(home.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _functions(tree: ast.Module, path: Path) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            counted = [one for one in given if one.arg not in ("self", "cls")]
            last = node.end_lineno or node.lineno
            place = f"{path}:{node.lineno} {node.name}"
            yield Function(place, last - node.lineno + 1, len(counted))


def module_graph(modules: dict[str, Module]) -> Graph:
    """Which modules import which; a name inside a module counts as that module."""
    graph: Graph = {name: set() for name in modules}
    for name, module in modules.items():
        for imported in module.imports:
            while imported and imported not in modules:
                imported = imported.rpartition(".")[0]
            if imported and imported != name:
                graph[name].add(imported)
    return graph


def room_of(module: str) -> str:
    """The room of a module; the face of a whole package is a room of its own."""
    return ".".join(module.split(".")[:2])


def room_graph(graph: Graph) -> Graph:
    """Which rooms import which."""
    rooms: Graph = {room_of(module): set() for module in graph}
    for module, imported in graph.items():
        rooms[room_of(module)] |= {room_of(other) for other in imported} - {room_of(module)}
    return rooms


def within(graph: Graph, package: str) -> Graph:
    """The part of a graph that lies in one package."""
    own = {name for name in graph if name.split(".")[0] == package}
    return {name: graph[name] & own for name in own}


def circles(graph: Graph) -> list[set[str]]:
    """Sets of nodes that import each other (Tarjan's strongly connected components), single nodes
    included, each after all that it imports."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        path.append(node)
        for other in sorted(graph[node]):
            if other not in order:
                visit(other)
            if other in path:
                lowest[node] = min(lowest[node], lowest[other])
        if lowest[node] == order[node]:
            start = path.index(node)
            found.append(set(path[start:]))
            del path[start:]

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found


def floors(graph: Graph) -> int:
    """Floors of a graph."""
    floor: dict[str, int] = {}
    for members in circles(graph):
        below = {other for node in members for other in graph[node]} - members
        level = 1 + max((floor[other] for other in below), default=0)
        floor |= dict.fromkeys(members, level)
    return max(floor.values(), default=0)


def arrows(graph: Graph) -> int:
    """Arrows of a graph."""
    return sum(len(imported) for imported in graph.values())


def up_imports(graph: Graph) -> list[str]:
    """Arrows from a package to one that stands after it in `PACKAGES`."""
    place = {package: number for number, package in enumerate(PACKAGES)}
    return [
        f"{name} -> {other}"
        for name in sorted(graph)
        for other in sorted(graph[name])
        if place[other.split(".")[0]] > place[name.split(".")[0]]
    ]


def rows_of(modules: dict[str, Module]) -> list[tuple[str, ...]]:
    """The table: a label, then one cell a package."""
    files = module_graph(modules)
    rooms = room_graph(files)
    rows: list[tuple[str, ...]] = [("", *PACKAGES)]
    for label, graph in (("modules", files), ("rooms", rooms)):
        parts = [within(graph, package) for package in PACKAGES]
        rings = [[c for c in circles(part) if len(c) > 1] for part in parts]
        rows += [
            (label, *(str(len(part)) for part in parts)),
            (f"floors of {label}", *(str(floors(part)) for part in parts)),
            (f"arrows of {label}", *(str(arrows(part)) for part in parts)),
            (f"cycles of {label}", *(str(len(ring)) for ring in rings)),
        ]
    own = [[m for m in modules.values() if m.name.split(".")[0] == p] for p in PACKAGES]
    functions = [[f for m in part for f in m.functions] for part in own]
    rows += [
        ("longest file", *(str(max((m.lines for m in part), default=0)) for part in own)),
        ("longest function", *(str(max((f.lines for f in p), default=0)) for p in functions)),
        ("most parameters", *(str(max((f.parameters for f in p), default=0)) for p in functions)),
    ]
    return rows


def show(modules: dict[str, Module], long: bool) -> None:
    """Print the table, what runs in circles or up, and with `long` what is too long."""
    for label, *cells in rows_of(modules):
        print(f"{label:18}" + "".join(f"{cell:>12}" for cell in cells))
    files = module_graph(modules)
    for label, graph in (("modules", files), ("rooms", room_graph(files))):
        for members in circles(graph):
            if len(members) > 1:
                print(f"cycle of {label}: {', '.join(sorted(members))}")
    for arrow in up_imports(files):
        print(f"up: {arrow}")
    functions = [function for module in modules.values() for function in module.functions]
    print(f"longest file: {max(modules.values(), key=lambda m: m.lines).path}")
    print(f"longest function: {max(functions, key=lambda f: f.lines).place}")
    print(f"most parameters: {max(functions, key=lambda f: f.parameters).place}")
    if not long:
        return
    for module in modules.values():
        if module.lines > LONG_FILE:
            print(f"{module.path}: {module.lines} lines")
    for function in functions:
        if function.lines > LONG_FUNCTION:
            print(f"{function.place}: {function.lines} lines")
        if function.parameters > MANY_PARAMETERS:
            print(f"{function.place}: {function.parameters} parameters")


def main() -> None:
    """Print the figures of a checkout."""
    parser = argparse.ArgumentParser(description="Count how the house stands.")
    here = Path(__file__).parent.parent
    parser.add_argument("root", nargs="?", type=Path, default=here, metavar="PATH")
    parser.add_argument(
        "--long",
        action="store_true",
        help=f"also list files above {LONG_FILE} lines, functions above {LONG_FUNCTION} lines or "
        f"{MANY_PARAMETERS} parameters",
    )
    options = parser.parse_args()
    modules = read_modules(options.root)
    if not modules:
        parser.error(f"{options.root}: expected a checkout with {', '.join(PACKAGES)}, found none")
    show(modules, options.long)


if __name__ == "__main__":
    main()
