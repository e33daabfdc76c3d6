"""Synthetic images of hands with everything that is true of them, rendered by our own rasteriser.

``SyntheticEngine.sample`` makes typed specs from (seed, index), ``render`` makes images of any
batch of specs on any device; ``batch`` does both. A sample depends on nothing but its specs: not on
the batch, not on the number of workers. On a CPU images are the same bit for bit, on a GPU up to
rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from datasets.synthetic.arms import ArmBuilder, Mesh, together
from datasets.synthetic.backgrounds import backgrounds, cast_shadow, load_bank, noise_tile
from datasets.synthetic.camera_effects import develop, encoding_table
from datasets.synthetic.glove_surface import GloveSurface
from datasets.synthetic.ground_truth import keypoint_states, keypoint_tolerance, truth_of_pixels
from datasets.synthetic.imaging import without_colours
from datasets.synthetic.light import SHADOWS, Irradiance, Occlusion, illuminate, shadowed
from datasets.synthetic.mapped_skin import MappedSkin, skin_of
from datasets.synthetic.object_meshes import body_mesh, body_vertices
from datasets.synthetic.poses import PoseModel
from datasets.synthetic.records import (
    COLOUR,
    HAND,
    OBJECT,
    OTHER_HAND,
    SampleSpecs,
    SyntheticBatch,
    ViewSpec,
    joined,
)
from datasets.synthetic.reflectance import SurfacePoints, mixed, reflectance
from datasets.synthetic.rigs import moved_specs
from datasets.synthetic.settings import SyntheticSettings
from datasets.synthetic.specs import People, sample_specs
from datasets.synthetic.stage import (
    Rays,
    Scene,
    Stage,
    Surface,
    averaged,
    image_intrinsics,
    lit_pixels,
    to_eye,
)
from fitter.camera import project
from fitter.hand_models import load_hand_model
from fitter.hand_models.appearance_loading import load_appearance
from fitter.hand_models.open_hand import load_child_shapes
from fitter.raster import Fragments, MeshTopology, rasterize
from fitter.rendering.shading import linear_from_srgb, vertex_normals
from fitter.rendering.textured import TexturedFaces, uv_tangents

CPU_CHUNK, GPU_CHUNK = 16, 256
"""Samples that are rendered at once: what fits into a processor's caches, and a GPU's memory."""
USUAL = 448
"""Rendered pixels of an image's side up to which it does; of larger ones there are fewer."""


class SyntheticEngine:
    """Renders samples of one data set in images of one size."""

    def __init__(
        self,
        size: int = 128,
        settings: SyntheticSettings | None = None,
        device: torch.device | str = "cpu",
        supersampling: int = 2,
    ) -> None:
        """Load the open hand, its skin and the backgrounds.

        Args:
            size: pixels of an image's side.
            settings: of the data set; None: `SyntheticSettings()`.
            device: where images are rendered; specs are sampled on the CPU.
            supersampling: how many times finer than `size` the scene is rendered in each direction.

        Raises:
            InputError: there are no backgrounds where the settings look for them.
        """
        self.size, self.supersampling = size, supersampling
        self.settings = settings or SyntheticSettings()
        self.device = torch.device(device)
        children = load_child_shapes() if self.settings.child_share > 0 else None
        source = self.settings.model or "open_hand"
        model = load_hand_model(source, children=children is not None)
        appearance = load_appearance(model.data)
        self.pose_model = PoseModel.of(model, 0 if children is None else children.count)
        self.people = People(self.pose_model, appearance.count, children)
        self.arms = ArmBuilder(model, self.pose_model.frame, self.device)
        self.gloves = GloveSurface(self.arms)
        self.hand_vertices = len(model.data.v_template)
        texels = size * supersampling * 3 // 4
        self.skin = skin_of(appearance.to(self.device), self.arms.loop, texels)
        self.occlusion = Occlusion(model, self.device)
        self.tolerance = keypoint_tolerance(self.pose_model, model.data.v_template).to(self.device)
        bank = torch.from_numpy(load_bank(self.settings.backgrounds)).to(self.device)
        self.bank = linear_from_srgb(torch.arange(256.0, device=self.device) / 255)[bank.long()]
        self.tile = torch.from_numpy(noise_tile()).to(self.device)
        self.table = encoding_table().to(self.device)
        self.scenes = {two: self._scene(two) for two in (False, True)}

    def _scene(
        self, two_hands: bool, thing: Mesh | None = None, places: Tensor | None = None
    ) -> Scene:
        """With the bodies of `ObjectSpec`, or another `thing` whose vertices are at `places`."""
        hand = self.arms.hand_mesh
        other = replace(hand, skin_of=torch.ones_like(hand.skin_of))
        parts = [hand, *([other] if two_hands else []), thing or body_mesh()]
        mesh = together(parts).to(self.device)
        return Scene(mesh, MeshTopology(mesh.faces), 2 if two_hands else 1, places)

    def sample(self, seed: int, indices: Sequence[int]) -> SampleSpecs:
        """Specs of samples, on the CPU.

        Args:
            seed: of the data set; indices: of the samples; both non-negative.
        """
        return sample_specs(self.people, self.settings, seed, list(indices))

    def batch(self, seed: int, indices: Sequence[int]) -> SyntheticBatch:
        """Rendered samples; see `sample` and `render`."""
        return self.render(self.sample(seed, indices))

    @torch.no_grad()
    def render(self, specs: SampleSpecs) -> SyntheticBatch:
        """Render a batch of specs.

        Args:
            specs: at least one, on any device.

        Returns:
            A batch on the engine's device, in the order of the specs.
        """
        return self._in_parts(specs.to(self.device), None)[0]

    @torch.no_grad()
    def render_views(
        self, specs: SampleSpecs, views: Sequence[ViewSpec]
    ) -> tuple[SyntheticBatch, ...]:
        """Render a batch of specs as several cameras see it, see `datasets.synthetic.rigs`.

        Args:
            specs: at least one, in the frame of the scene's camera, on any device.
            views: of each camera, at least one, for all of the specs.

        Returns:
            A batch for each camera, in its frame.
        """
        return self._in_parts(specs.to(self.device), [view.to(self.device) for view in views])

    @torch.no_grad()
    def render_hands(
        self, specs: SampleSpecs, thing: Mesh | None = None, places: Tensor | None = None
    ) -> tuple[SyntheticBatch, ...]:
        """Render one sample, with what is true of each of its hands.

        Args:
            specs: of one sample, on any device.
            thing: mesh of an object that stands for the bodies of `ObjectSpec`, whose first
                colours it has.
            places: (N, 3) float64 metres of its vertices, camera frame.

        Returns:
            A batch of one for each hand that is there, of the same image: `mask`, `parts` and all
            of keypoints and vertices are that hand's, as it is: a left one is not mirrored.
        """
        specs = specs.to(self.device)
        two = bool(specs.second.present[0])
        there = None if places is None else places.to(self.device)
        scene = self.scenes[two] if thing is None else self._scene(two, thing, there)
        stage = self._pose(specs, scene)
        picture = self._picture(specs, scene, stage, self._light(specs, scene, stage))
        return tuple(
            self._truth(specs, scene, stage, picture, number) for number in range(scene.hands)
        )

    def _in_parts(
        self, specs: SampleSpecs, views: Sequence[ViewSpec] | None
    ) -> tuple[SyntheticBatch, ...]:
        """A batch for each view; None: as the scene's own camera sees it."""
        chunk = CPU_CHUNK if self.device.type == "cpu" else GPU_CHUNK
        chunk = max(1, int(chunk * min(1.0, (USUAL / (self.size * self.supersampling)) ** 2)))
        # Scenes with two hands have another mesh, so they are rendered apart.
        rows = [specs.second.present.logical_not().nonzero()[:, 0]]
        rows.append(specs.second.present.nonzero()[:, 0])
        parts, order = [], []
        for two_hands, group in enumerate(rows):
            for part in group.split(chunk) if len(group) else []:
                own = None if views is None else [view[part] for view in views]
                parts.append(self._render(specs[part], self.scenes[bool(two_hands)], own))
                order.append(part)
        place = torch.cat(order).argsort()
        return tuple(joined(of_view)[place] for of_view in zip(*parts, strict=True))

    def _render(
        self, specs: SampleSpecs, scene: Scene, views: Sequence[ViewSpec] | None
    ) -> list[SyntheticBatch]:
        stage = self._pose(specs, scene)
        # Light falls on surfaces, wherever they are seen from.
        light = self._light(specs, scene, stage)
        if views is None:
            return [self._seen(specs, scene, stage, light)]
        return [
            self._seen(
                moved_specs(specs, view, self.arms.model),
                scene,
                stage.moved(view.rotation, view.translation),
                light,
            )
            for view in views
        ]

    def _seen(
        self, specs: SampleSpecs, scene: Scene, stage: Stage, light: Irradiance
    ) -> SyntheticBatch:
        """Images of stages in the frame of the camera that sees them."""
        return self._truth(specs, scene, stage, self._picture(specs, scene, stage, light), 0)

    def _picture(
        self, specs: SampleSpecs, scene: Scene, stage: Stage, light: Irradiance
    ) -> tuple[Tensor, Fragments, Tensor]:
        """Images (B, S, S, 3), what their finer pixels show, and K (B, 3, 3)."""
        K = image_intrinsics(specs.view, self.size)
        fine = self.size * self.supersampling
        scale = K.new_tensor([self.supersampling, self.supersampling, 1.0])[:, None]
        screen = torch.cat([project(stage.vertices.double(), K * scale),
                            stage.vertices[..., 2:].double()], -1).float()  # fmt: skip
        fragments = rasterize(screen, scene.topology, (fine, fine))
        linear, coverage = self._shade(specs, scene, stage, (light, K), fragments)
        behind = backgrounds(self.bank, self.tile, specs.background, self.size)
        behind = cast_shadow(behind, coverage, specs.light.cast)
        linear = without_colours(linear + behind * (1 - coverage)[..., None], specs.imaging)
        image = develop(linear, self.tile, self.table, specs.lens, specs.imaging.kind != COLOUR)
        return image, fragments, K

    def _truth(
        self,
        specs: SampleSpecs,
        scene: Scene,
        stage: Stage,
        picture: tuple[Tensor, Fragments, Tensor],
        number: int,
    ) -> SyntheticBatch:
        """What is true of the hand `number` of stages."""
        (image, fragments, K), mesh, hand = picture, scene.mesh, stage.hands[number]
        of_face = torch.where(
            (mesh.skin_of != number) & (mesh.part != OBJECT), OTHER_HAND, mesh.part
        )
        pixels = truth_of_pixels(fragments, of_face.to(torch.uint8), self.supersampling)
        positions = project(hand.keypoints, K).round(decimals=9)
        glove = (specs, specs.second)[number].glove
        near = self.tolerance + glove.thickness[:, None]
        depths = hand.keypoints[..., 2]
        state = keypoint_states(pixels, depths, positions, near, self.supersampling)
        return SyntheticBatch(
            image=image,
            mask=pixels.mask,
            parts=pixels.parts,
            depth=pixels.depth,
            keypoints_3d=hand.keypoints,
            keypoints_2d=positions,
            keypoint_state=state,
            intrinsics=K,
            vertices=hand.vertices[:, : self.hand_vertices],
            specs=specs,
        )

    def _pose(self, specs: SampleSpecs, scene: Scene) -> Stage:
        """Vertices, normals and the darkness between fingers."""
        first = self.arms(specs.hand, specs.arm)
        arms, sign = [first], [torch.ones_like(specs.view.side)]
        if scene.hands == 2:
            second = self.arms(specs.second.hand, specs.second.arm)
            mirror = torch.where(specs.second.left, -1.0, 1.0).double()
            ones = torch.ones_like(mirror)
            flip = torch.stack([mirror, ones, ones], 1)[:, None]
            arms.append(second.map(lambda points: points * flip))
            sign.append(mirror)
        if scene.things is None:
            things = body_vertices(specs.objects, first.vertices[:, : self.hand_vertices])
        else:
            things = scene.things[None].expand(len(first.vertices), -1, -1).float()
        vertices = torch.cat([*(arm.vertices.float() for arm in arms), things], 1)
        normals = vertex_normals(vertices, scene.mesh.faces)
        open_share, skin = torch.ones_like(vertices[..., 0]), torch.zeros_like(vertices[..., 0])
        count, hand = self.arms.hand_mesh.count, self.hand_vertices
        worn = [(person.arm.size[:, None, None], person.glove) for person in (specs, specs.second)]
        for number, (arm, side) in enumerate(zip(arms, sign, strict=True)):
            # The faces of a mirrored hand are wound the other way round.
            start = number * count
            normals[:, start : start + count] *= side.float()[:, None, None]
            rows = slice(start, start + hand)
            size, glove = worn[number]
            # In units of an adult's hand, for which the spheres of the occlusion are.
            open_share[:, rows] = self.occlusion(
                vertices[:, rows] / size, normals[:, rows], arm.points / size
            )
            whole = slice(start, start + count)
            vertices[:, whole] = self.gloves.swell(vertices[:, whole], normals[:, whole], glove)
            of_skin = slice(start, start + hand + len(self.arms.arm_rows) - len(self.arms.loop))
            skin[:, of_skin] = (~glove.present).float()[:, None]
        return Stage(tuple(arms), vertices, normals, skin, open_share)

    def _light(self, specs: SampleSpecs, scene: Scene, stage: Stage) -> Irradiance:
        hand = stage.vertices[:, : self.hand_vertices]
        focus = 0.5 * (hand.amin(dim=1) + hand.amax(dim=1))
        shown = [
            shadowed(stage.vertices, scene.topology, focus, specs.light, number)
            for number in range(SHADOWS)
        ]
        scatter = (stage.skin * specs.skin.scatter[:, None])[..., None]
        return illuminate(
            stage.vertices, stage.normals, stage.open_share, torch.stack(shown, -1), specs.light,
            scatter,
        )  # fmt: skip

    def _shade(
        self,
        specs: SampleSpecs,
        scene: Scene,
        stage: Stage,
        seen: tuple[Irradiance, Tensor],
        fragments: Fragments,
    ) -> tuple[Tensor, Tensor]:
        """Linear light (B, S, S, 3) of what is in front, and the share (B, S, S) that it covers;
        `seen` is the light at the vertices and K (B, 3, 3) of the images."""
        light, K = seen
        colours = self._arm_colours(specs, scene, stage)
        attributes = torch.cat([stage.normals, light.diffuse, light.shown, colours], -1)
        flat, fine = fragments.face_index.flatten(), fragments.face_index.shape[1]
        covered = (flat >= 0).nonzero()[:, 0]
        face = flat[covered].long()
        row = covered // (fine * fine)
        weights = fragments.barycentrics.view(-1, 3)[covered]
        corners = scene.mesh.faces[face] + (row * attributes.shape[1])[:, None]
        at = mixed(attributes.flatten(0, 1), corners, weights)
        normals, diffuse, shown, arm_colour = at.split([3, 3, SHADOWS, 3], dim=1)
        coordinates = mixed(scene.mesh.coordinates, scene.mesh.corners[face], weights)
        kind, number = scene.mesh.part[face], scene.mesh.skin_of[face]
        points = SurfacePoints(row, kind, number, coordinates, arm_colour)
        colour, gloss = reflectance(self.skin, specs, points, scene.hands)
        normals = torch.nn.functional.normalize(normals, dim=1)
        relief = normals, gloss
        if isinstance(self.skin, MappedSkin):
            surface = TexturedFaces(scene.mesh.faces, scene.mesh.coordinates, scene.mesh.corners)
            tangents = uv_tangents(stage.vertices, surface)
            of_row = scene.mesh.corners[face] + (row * tangents.shape[1])[:, None]
            at_pixels = mixed(tangents.flatten(0, 1), of_row, weights)
            relief = self._relief(specs, points, at_pixels, relief)
        if bool(specs.glove.present.any() | specs.second.glove.present.any()):
            people = [specs.glove, specs.second.glove][: scene.hands]
            local = scene.mesh.faces[face] % self.arms.hand_mesh.count
            colour, gloss, gloved = self.gloves.paint(
                colour, gloss, points, people, (local, weights)
            )
            bare = ~gloved[:, None]
            normals = torch.where(bare, relief[0], normals)
            gloss = torch.where(bare, relief[1], gloss)
        else:
            gloved = torch.zeros_like(row, dtype=torch.bool)
            normals, gloss = relief
        eye = to_eye(K, (covered, row), fine, self.supersampling)
        rays = Rays(diffuse, shown, eye, fragments.depth.flatten()[covered])
        lit = lit_pixels(specs, points, rays, Surface(colour, normals, gloss, gloved))
        # One channel more: how much of a pixel is covered.
        canvas = lit.new_zeros(len(flat), 4)
        canvas[covered] = torch.cat([lit, torch.ones_like(lit[:, :1])], 1)
        return averaged(canvas, self.size, self.supersampling)

    def _arm_colours(self, specs: SampleSpecs, scene: Scene, stage: Stage) -> Tensor:
        """(B, V, 3) linear RGB of the arms' vertices, 0 of all others."""
        colours = torch.zeros_like(stage.vertices)
        for number, person in enumerate([specs.skin, specs.second.skin][: scene.hands]):
            rows = self.arms.arm_rows + number * self.arms.hand_mesh.count
            colours[:, rows] = self.skin.arms(person.appearance)
        return colours

    def _relief(
        self,
        specs: SampleSpecs,
        points: SurfacePoints,
        tangents: Tensor,
        surface: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Normals (N, 3) and gloss (N, 2) at pixels, those of bare skin by its maps."""
        assert isinstance(self.skin, MappedSkin)
        normals, gloss = (each.clone() for each in surface)
        shown = (points.kind == HAND).nonzero()[:, 0]
        people = [specs.skin.appearance, specs.second.skin.appearance]
        skin = SurfacePoints(*(values[shown] for values in vars(points).values()))
        at = tangents[shown]
        normals[shown], strength = self.skin.relief(people, skin, at, normals[shown])
        gloss[shown] = gloss[shown] * strength[:, None]
        return normals, gloss
