"""Sentences about meshes that may touch."""

SENTENCES: dict[str, str] = {
    "contact.open": "expected a closed mesh, which has an inside, found {edges} open edges",
    "contact.not_manifold": (
        "expected a mesh whose faces are wound alike and share each edge with one other face at "
        "most, with openings that do not meet, found another one"
    ),
    "contact.faces": "expected faces that index {vertices} vertices, found another index",
}
