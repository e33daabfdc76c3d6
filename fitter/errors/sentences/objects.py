"""Sentences about objects that hands hold or touch: their files, meshes and poses."""

from __future__ import annotations

_FILES = {
    "object.entry": "expected an object with mesh, rotation and translation, found {found}",
    "object.hand": "expected 'left' or 'right' for the hand that holds it, found {found}",
    "object.is_the_image": "expected objects of {image!r}, found the picture itself there",
    "object.layout": "expected a list of objects, or objects and K, found {found}",
    "object.no_folder": "expected a folder, found nothing there",
    "object.no_key": "expected {key!r}, found none",
    "object.none": "expected objects named like the pictures, such as {wanted!r} for {image!r}, "
    "found none of them",
    "object.not_a_folder": "expected a folder with objects, found a file",
    "object.other_camera": "expected poses in the camera of {image!r} with K {expected}, found K "
    "{found}",
    "object.shared": "expected objects for every picture of its own, found that {one!r} and "
    "{other!r} share {shared!r}",
    "object.unknown_key": "expected no key but {known}, found {found!r}",
    "object.unlistable": "expected a folder of objects that may be listed, found {reason}",
}

_MESHES = {
    "object.close": "expected one of {known}, by which an open mesh is closed, found {found}",
    "object.mesh": "expected the file of a mesh, or vertices and faces, found {found}",
    "object.mesh_bytes": "expected a mesh of at most {most:,} bytes, found {found:,}",
    "object.mesh_corners": "expected triangles of whole numbers from 0 to below {count}, the "
    "number of vertices, found others",
    "object.mesh_empty": "expected {what} of three numbers each, found shape {found}",
    "object.mesh_faces": "expected at most {most:,} triangles, found {found:,}; simplify the mesh, "
    "since nothing finer than a finger matters",
    "object.mesh_flat": "expected a body, found a mesh without volume",
    "object.mesh_holes": "expected holes that a fan each closes, found holes that meet, edges of "
    "more than two triangles, or triangles that face opposite ways; close the mesh, or give its "
    "convex hull",
    "object.mesh_kind": "expected a mesh that ends in {known}, found {found}",
    "object.mesh_large": "expected metres and at most {most:g} across, found {found:.4g}, probably "
    "millimetres of something {metres:.2g} m across",
    "object.mesh_missing": "expected the mesh {mesh!r} at {looked}, found no file there",
    "object.mesh_not_finite": "expected finite vertices, found {found} of {count} that are not",
    "object.mesh_no_triangles": "expected triangles, between which there is an inside, found none",
    "object.mesh_open": "expected a closed mesh, found {found} of {count} edges open; close it, or "
    'write "close": "holes" beside it to fill its holes, or "hull" to take its convex hull',
    "object.mesh_small": "expected metres and at least {least:g} across, found {found:.2g}",
    "object.mesh_turned": "expected triangles that all face outward, found {found} of {count} "
    "edges whose triangles face opposite ways",
    "object.mesh_unreadable": "expected a mesh, found: {reason}",
    "object.no_mesh": "expected a mesh, found: {reason}",
}

_POSES = {
    "object.behind": "expected {name} in front of the camera of {image!r}, found it to reach to "
    "z = {found:.3g} m; is this the pose of another picture, or one in other axes than z forward, "
    "y down?",
    "object.far": "expected {name} within {most:g} m, found it {found:.4g} m away, probably "
    "millimetres",
    "object.mirrored": "expected a rotation, found one that mirrors",
    "object.no_camera": "expected the K in which the objects of {image!r} are placed, given "
    "(--intrinsics; K in Python) or beside them, found none",
    "object.outside": "expected {name} within the {width} x {height} pixels of {image!r}, found it "
    "at x {columns} and y {rows}; is this the pose of another picture?",
    "object.pose": "expected a 4x4 matrix that ends in 0, 0, 0, 1, found {found}",
    "object.quaternion": "expected four numbers w, x, y, z of length 1, found {found}",
    "object.rotation": "expected a rotation, found R times its transpose to differ from 1 by "
    "{found:.2g}",
    "object.rotation_shape": "expected a 3x3 matrix of finite numbers, found {found}",
    "object.translation": "expected three finite numbers, metres, found {found}",
    "object.two_poses": "expected the pose once, found {one!r} and {other!r}",
}

SENTENCES = _FILES | _MESHES | _POSES
