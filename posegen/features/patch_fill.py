"""Complete holes of a picture by patches of the rest of it.

The coarsest scale is filled inwards, patch by patch, lines first (Criminisi, Pérez and Toyama, 2004). Then, coarse to
fine (Wexler, Shechtman and Irani, 2007), every patch that touches the hole looks for the most similar patch of what is
known (PatchMatch: Barnes et al., 2009), and the patches found vote for the colours of the hole. Patches may differ by a
small constant colour, and the gradients of what they show are integrated at the end, so that a wall's shading goes on
and its grain is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from posegen.features.membrane import fill_smoothly, join_gradients, shrink_known

_RADIUS = 3  # of patches: 7 × 7
_OPPONENTS = np.array([[3**-0.5] * 3, [2**-0.5, -(2**-0.5), 0], [6**-0.5, 6**-0.5, -2 * 6**-0.5]], np.float32)
"""Lightness, red against green, yellow against blue: an orthonormal basis of colours."""
_COSINES = np.cos(np.pi / (2 * _RADIUS + 1) * np.outer(np.arange(5), np.arange(2 * _RADIUS + 1) + 0.5)).astype(
    np.float32
)
_COSINES /= np.linalg.norm(_COSINES, axis=1, keepdims=True)
# Frequencies down and across by which patches are compared, and of how many of the three mixed channels.
_FREQUENCIES = (
    *(((down, across), 3) for down, across in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))),
    *(((down, across), 1) for down, across in ((1, 2), (2, 1), (2, 2), (0, 3), (3, 0))),
)
_MEAN_WEIGHT = 0.7  # of the mean colours of patches, against what they show
_MAX_BIAS = 14.0  # levels by which a patch may be brighter or darker where it is pasted than where it is taken from
_COHERENCE = 2.5  # squared levels a neighbour that shows another place, per pixel of a patch
_NEARNESS = (1500.0, 150.0)  # squared levels per pixel of a patch that is taken from a whole height, or width, away
_COARSEST_RADIUS = 11.0  # pixels to which the widest part of the hole is shrunk
_COARSEST_AREA = 96 * 96  # pixels, at most, which are filled inwards
_COARSEST_SIZE = 40  # pixels, of the smaller side
_ITERATIONS = (3, 1)  # at the coarsest scale and at the next; finer ones copy by the offsets found
_JUMPS = (1, 2, 8)  # pixels from which offsets are taken over
_FINEST_HEIGHT = 384  # pixels: taller pictures take their offsets from a smaller copy
_SHARPNESS = 0.3  # quantile of the distances that divides those that count from others
_SEED = 7


def fill_by_patches(image: np.ndarray, hole: np.ndarray, avoid: np.ndarray | None = None) -> np.ndarray:
    """Fill a hole with what the picture shows elsewhere.

    The same picture and hole give the same result.

    Args:
        image: (H, W, 3) uint8.
        hole: (H, W) bool.
        avoid: (H, W) bool: pixels that are kept, but neither copied nor trusted. Default: none.

    Returns:
        (H, W, 3) uint8; outside the hole the picture itself. Of one colour where everything is hole.
    """
    hole = np.asarray(hole, bool)
    avoid = hole if avoid is None else hole | avoid
    if not hole.any():
        return image.copy()
    if avoid.all():
        avoid = hole
    if hole.all():
        return np.broadcast_to(image.mean(axis=(0, 1)).round().astype(np.uint8), image.shape).copy()
    height, width = hole.shape
    scale = max(height / _FINEST_HEIGHT, 1.0)
    size = (max(round(width / scale), 1), max(round(height / scale), 1))
    small, seen = shrink_known(image.astype(np.float32), (~avoid).astype(np.float32), size)
    hole_small = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    small[seen <= 0] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)[seen <= 0]
    filled, offsets = _complete(small, hole_small, seen < 0.999)  # rounded sums of ones
    if scale > 1:
        filled = _add_details(image, filled, offsets)
    return np.where(hole[..., None], np.clip(filled, 0, 255).round(), image).astype(np.uint8)


@dataclass
class _Scale:
    """One scale of a picture, its patches, and which of them may be copied."""

    image: np.ndarray  # (H, W, 3) float32; filled inside the hole
    hole: np.ndarray  # (H, W) bool
    avoid: np.ndarray  # (H, W) bool
    sources: np.ndarray  # (H, W) bool: centres of patches that may be copied
    targets: np.ndarray  # (N,) flat positions of centres of patches that touch the hole

    @classmethod
    def make(cls, image: np.ndarray, hole: np.ndarray, avoid: np.ndarray) -> _Scale:
        square = np.ones((2 * _RADIUS + 1,) * 2, np.uint8)
        sources = cv2.dilate(avoid.astype(np.uint8), square) == 0
        inside = np.zeros_like(sources)
        inside[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS] = True
        return cls(image, hole, avoid, sources & inside, np.flatnonzero(cv2.dilate(hole.astype(np.uint8), square)))

    def patches(self, centres: np.ndarray) -> np.ndarray:
        """Return the patches around flat positions, (N, 49, 3)."""
        padded = cv2.copyMakeBorder(self.image, *(_RADIUS,) * 4, cv2.BORDER_REFLECT_101).reshape(-1, 3)
        return padded[self.padded(centres)[:, None] + self.steps()]

    def padded(self, centres: np.ndarray) -> np.ndarray:
        """Return flat positions in the picture with a border of `_RADIUS` of those in the picture."""
        ys, xs = np.divmod(centres, self.hole.shape[1])
        return (ys + _RADIUS) * (self.hole.shape[1] + 2 * _RADIUS) + xs + _RADIUS

    def steps(self) -> np.ndarray:
        """Return the flat steps from the centre of a patch to its pixels, with a border, (49,)."""
        steps = np.arange(-_RADIUS, _RADIUS + 1)
        return (steps[:, None] * (self.hole.shape[1] + 2 * _RADIUS) + steps).ravel()


def _describe(image: np.ndarray) -> np.ndarray:
    """Return few values (H, W, 23) that describe the patch around each pixel of a picture (H, W, 3) float32.

    Squared distances of descriptions are about those of patches: lowest frequencies of the discrete cosine transform,
    more of lightness than of colour. The last three values are weighted mean colours.
    """
    mixed = cv2.transform(image, _OPPONENTS)
    found = []
    for (down, across), count in _FREQUENCIES:
        kernels = _COSINES[across], _COSINES[down]
        response = cv2.sepFilter2D(mixed, cv2.CV_32F, *kernels, borderType=cv2.BORDER_REFLECT_101)
        found.append(response[..., :count])
    means = cv2.blur(image, (2 * _RADIUS + 1,) * 2, borderType=cv2.BORDER_REFLECT_101)
    return np.concatenate([*found, means * np.float32((2 * _RADIUS + 1) * _MEAN_WEIGHT)], axis=-1)


def _complete(image: np.ndarray, hole: np.ndarray, avoid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill a hole in a picture of moderate size.

    Returns:
        The picture (H, W, 3) float32, and (H, W, 2) int: the step to the pixel that each one was copied from, (0, 0)
        where there is none.
    """
    known = (~avoid).astype(np.float32)
    smooth = cv2.GaussianBlur(image * known[..., None], (0, 0), 2) / np.maximum(
        cv2.GaussianBlur(known, (0, 0), 2), 1e-6
    )[..., None].astype(np.float32)
    seed = fill_smoothly(np.where(known[..., None] > 0, smooth, 0).astype(np.float32), known)
    scales = _scales(np.where(hole[..., None], seed, image), hole, avoid)
    if not scales:
        return np.where(hole[..., None], seed, image), np.zeros((*hole.shape, 2), int)
    random = np.random.default_rng(_SEED)
    offsets = _fill_inward(scales[0])
    for number, scale in enumerate(scales):
        if number > 0:
            offsets = _double(offsets, scale.hole.shape)
        if number >= len(_ITERATIONS):
            offsets = _copy(scale, offsets)
            continue
        match = _Match(scale, random)
        match.take_over(offsets)
        if number > 0:
            match.vote(first=True)
        for _ in range(_ITERATIONS[number]):
            match.search()
            match.vote()
        offsets = match.offsets()
    return join_gradients(scales[-1].image, hole, offsets), offsets


def _copy(scale: _Scale, offsets: np.ndarray) -> np.ndarray:
    """Copy a hole's pixels by offsets (H, W, 2) of a coarser scale, where these lead to a pixel that may be copied.

    Others take over the offset of the nearest pixel for which it does.

    Returns:
        (H, W, 2) int: the offsets used.
    """
    height, width = scale.hole.shape
    sources = ~scale.avoid
    rows, columns = np.nonzero(scale.hole)
    steps = offsets[rows, columns]
    for attempt in range(2):
        ys, xs = rows + steps[:, 0], columns + steps[:, 1]
        valid = (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width) & steps.any(axis=1)
        valid[valid] = sources[ys[valid], xs[valid]]
        if attempt or valid.all() or not valid.any():
            break
        usable = np.zeros_like(scale.hole)
        usable[rows[valid], columns[valid]] = True
        spread = np.zeros((height * width, 2), int)
        spread[np.flatnonzero(usable)] = steps[valid]
        steps = spread[_nearest(usable)[rows, columns]]
    used = np.zeros_like(offsets)
    used[rows[valid], columns[valid]] = steps[valid]
    scale.image[rows[valid], columns[valid]] = scale.image[ys[valid], xs[valid]]
    return used


def _scales(image: np.ndarray, hole: np.ndarray, avoid: np.ndarray) -> list[_Scale]:
    """Return the scales of a picture whose hole is filled roughly, the coarsest first; none where it has no patches."""
    scales = []
    smallest = _COARSEST_SIZE
    while min(hole.shape) > 2 * _RADIUS:
        scale = _Scale.make(image, hole, avoid)
        if not scale.sources.any():
            break
        scales.append(scale)
        widest = cv2.distanceTransform(np.pad(hole, 1).astype(np.uint8), cv2.DIST_L2, 3).max()
        if (widest <= _COARSEST_RADIUS and hole.size <= _COARSEST_AREA) or min(hole.shape) < 2 * smallest:
            break
        size = ((hole.shape[1] + 1) // 2, (hole.shape[0] + 1) // 2)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        hole = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.3
        avoid = cv2.resize(avoid.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.3
    return scales[::-1]


def _double(offsets: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the offsets of a scale twice as large."""
    ys, xs = np.indices(shape)
    return 2 * offsets[np.minimum(ys // 2, len(offsets) - 1), np.minimum(xs // 2, offsets.shape[1] - 1)]


def _nearest(mask: np.ndarray) -> np.ndarray:
    """Return for each pixel (H, W) the flat position of the nearest one of a mask, or its own where there is none."""
    if not mask.any():
        return np.arange(mask.size).reshape(mask.shape)
    _, labels = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.zeros(labels.max() + 1, int)
    places[labels[mask]] = np.flatnonzero(mask)
    return places[labels]


def _fill_inward(scale: _Scale) -> np.ndarray:
    """Fill the hole of a scale from its border, the patches first that show lines and of which much is known.

    Returns:
        (H, W, 2) int: the step to what each pixel was copied from.
    """
    height, width = scale.hole.shape
    border = ((_RADIUS, _RADIUS), (_RADIUS, _RADIUS))
    image = cv2.copyMakeBorder(scale.image, *(_RADIUS,) * 4, cv2.BORDER_REFLECT_101).reshape(-1, 3)
    missing = np.pad(scale.hole, border)
    trust = np.pad(1.0 - scale.hole, border).ravel()
    offsets = np.zeros((height, width, 2), int)
    places = np.flatnonzero(scale.sources)
    patches = scale.patches(places).reshape(len(places), -1)
    squares = patches**2
    steps = scale.steps()
    inner = (slice(_RADIUS, -_RADIUS),) * 2
    while missing.any():
        front = missing & (cv2.erode(missing.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
        edge = np.flatnonzero(front[inner])
        lines = _lines(image.reshape(*missing.shape, 3), missing).ravel()
        windows = scale.padded(edge)[:, None] + steps
        priority = trust[windows].mean(axis=1) * (1.0 + lines[windows].max(axis=1))
        target = int(edge[priority.argmax()])
        window = windows[priority.argmax()]
        given = ~missing.ravel()[window]
        row, column = divmod(target, width)
        weight = np.repeat(given.astype(np.float32), 3)
        distance = squares @ weight - 2 * patches @ (weight * image[window].ravel())
        nearness = _NEARNESS[0] / height * np.abs(places // width - row)
        nearness = nearness + _NEARNESS[1] / width * np.abs(places % width - column)
        best = int((distance + given.sum() * nearness).argmin())
        patch = patches[best].reshape(-1, 3)
        bias = (image[window] - patch)[given].mean(axis=0) if given.any() else np.zeros(3)
        image[window[~given]] = patch[~given] + bias.clip(-_MAX_BIAS, _MAX_BIAS)
        trust[window[~given]] = trust[window].mean()
        missing.reshape(-1)[window] = False
        ys, xs = np.divmod(window[~given], width + 2 * _RADIUS)
        ys, xs = ys - _RADIUS, xs - _RADIUS
        valid = (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)
        offsets[ys[valid], xs[valid]] = divmod(int(places[best]), width) - np.array([row, column])
    scale.image[scale.hole] = image.reshape(*missing.shape, 3)[inner][scale.hole]
    return offsets


def _lines(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return how strongly lines (H, W) run into what is missing, 1 for a contrast of 64 levels."""
    gray = np.ascontiguousarray(image.mean(axis=-1))
    outside = cv2.dilate(missing.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    normal = cv2.GaussianBlur(missing.astype(np.float32), (0, 0), 2)
    across, down = (cv2.Sobel(normal, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    size = np.maximum(np.hypot(across, down), 1e-6)
    right, below = (cv2.Sobel(gray, cv2.CV_32F, *axis, scale=0.125) for axis in ((1, 0), (0, 1)))
    return np.abs(across * below - down * right) / size * outside / 32


class _Match:
    """Known patch chosen for each target of a scale, by its position."""

    def __init__(self, scale: _Scale, random: np.random.Generator) -> None:
        self._scale, self._random = scale, random
        self._places = np.flatnonzero(scale.sources)
        height, width = scale.hole.shape
        self._known = _describe(scale.image).reshape(height * width, -1)
        self._area = (2 * _RADIUS + 1) ** 2
        # What each patch shows: -1 where it is no target; its distance does not count coherence.
        self._shown = np.full(height * width, -1)
        self._shown[scale.targets] = self._places[random.integers(len(self._places), size=len(scale.targets))]
        self._look()

    def _look(self) -> None:
        """Compare what the hole shows by now with what its patches were found to show."""
        self._wanted = _describe(self._scale.image).reshape(len(self._shown), -1)[self._scale.targets]
        self._distance = self._measure(self._shown[self._scale.targets])

    def _measure(self, places: np.ndarray) -> np.ndarray:
        """Return the distances of the targets to the patches at places (N,), infinite where none may be copied."""
        width = self._scale.hole.shape[1]
        difference = self._wanted - self._known[places]
        distance = np.einsum("nc,nc->n", difference, difference)
        distance += self._far(np.abs(places // width - self._scale.targets // width), 0)
        distance += self._far(np.abs(places % width - self._scale.targets % width), 1)
        return np.where(self._scale.sources.ravel()[places], distance, np.inf)

    def _far(self, steps: np.ndarray, axis: int) -> np.ndarray:
        return (self._area * _NEARNESS[axis] / self._scale.hole.shape[axis] * steps).astype(np.float32)

    def take_over(self, offsets: np.ndarray) -> None:
        """Begin with offsets (H, W, 2), those of the nearest pixel that has one."""
        height, width = self._scale.hole.shape
        nearest = _nearest((offsets != 0).max(axis=-1)).ravel()[self._scale.targets]
        steps = offsets.reshape(-1, 2)[nearest]
        ys, xs = np.divmod(self._scale.targets, width)
        places = (ys + steps[:, 0]).clip(0, height - 1) * width + (xs + steps[:, 1]).clip(0, width - 1)
        valid = self._scale.sources.ravel()[places]
        self._shown[self._scale.targets[valid]] = places[valid]

    def search(self) -> None:
        """Take over better offsets of neighbours, and look around those that there are."""
        self._look()
        height, width = self._scale.hole.shape
        targets = self._scale.targets
        ys, xs = np.divmod(targets, width)
        for jump in _JUMPS:
            for dy, dx in ((0, jump), (0, -jump), (jump, 0), (-jump, 0)):
                there = (ys + dy).clip(0, height - 1) * width + (xs + dx).clip(0, width - 1)
                offset = np.where(self._shown[there] >= 0, self._shown[there] - there, self._shown[targets] - targets)
                self._try((targets + offset).clip(0, height * width - 1))
        reach = max(height, width) // 2
        while reach >= 1:
            near_y, near_x = np.divmod(self._shown[targets], width)
            step = self._random.integers(-reach, reach + 1, size=(2, len(targets)))
            self._try((near_y + step[0]).clip(0, height - 1) * width + (near_x + step[1]).clip(0, width - 1))
            reach //= 3

    def _try(self, places: np.ndarray, coherence: float = _COHERENCE) -> None:
        """Let targets show other places (N,) where these fit better."""
        targets = self._scale.targets
        before = self._shown[targets]
        distance = self._measure(places)
        gain = self._distance - distance
        if coherence:
            gain += coherence * self._area * (self._lonely(before) - self._lonely(places))
        better = gain > 0
        self._shown[targets[better]] = places[better]
        self._distance[better] = distance[better]

    def _lonely(self, places: np.ndarray) -> np.ndarray:
        """Return how many of its four neighbours show something else beside what each target would show."""
        width = self._scale.hole.shape[1]
        shown = np.concatenate([np.full(width, -1), self._shown, np.full(width, -1)])
        targets = self._scale.targets + width
        alone = np.zeros(len(targets), np.float32)
        for step in (1, -1, width, -width):
            neighbour = shown[targets + step]
            alone += (neighbour >= 0) & (neighbour != places + step)
        return alone

    def vote(self, first: bool = False) -> None:
        """Give each pixel of the hole the weighted mean of what the patches that cover it show.

        Args:
            first: Whether the hole does not show yet what patches are compared with: all weigh the same.
        """
        scale = self._scale
        shown = self._shown[scale.targets]
        means = np.sqrt(self._area) * _MEAN_WEIGHT
        bias = ((self._wanted[:, -3:] - self._known[shown, -3:]) / means).clip(-_MAX_BIAS, _MAX_BIAS)
        spread = max(float(np.quantile(self._distance, _SHARPNESS)), self._area * 3.0)
        inward = cv2.distanceTransform(np.pad(scale.hole, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
        trust = 1.3 ** -inward.ravel()[scale.targets].clip(0, 40)
        weight = (trust * (1.0 if first else np.exp(-self._distance / (2 * spread))) + 1e-12)[:, None].astype(
            np.float32
        )
        source = cv2.copyMakeBorder(scale.image, *(_RADIUS,) * 4, cv2.BORDER_REFLECT_101).reshape(-1, 3)
        source = np.concatenate([source, np.ones_like(source[:, :1])], axis=1)
        shift = np.concatenate([bias * weight, np.zeros_like(weight)], axis=1)
        total = np.zeros_like(source)
        here, there = scale.padded(scale.targets), scale.padded(shown)
        for step in scale.steps()[::2]:  # every second pixel of a patch: enough of them cover each
            total[here + step] += np.take(source, there + step, axis=0) * weight + shift  # no pixel twice in one step
        inside = scale.padded(np.flatnonzero(scale.hole))
        scale.image[scale.hole] = total[inside, :3] / np.maximum(total[inside, 3:], 1e-12)

    def offsets(self) -> np.ndarray:
        """Return (H, W, 2) int: the step to what each target shows, and (0, 0) elsewhere."""
        shape = self._scale.hole.shape
        there = np.where(self._shown >= 0, self._shown, np.arange(len(self._shown)))
        return (np.stack(np.divmod(there, shape[1]), axis=-1)).reshape(*shape, 2) - np.indices(shape).transpose(1, 2, 0)


def _add_details(image: np.ndarray, filled: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Enlarge a filled copy of a picture, with the details of the picture's pixels at the same offsets."""
    height, width = image.shape[:2]
    small = cv2.resize(image, filled.shape[1::-1], interpolation=cv2.INTER_AREA)
    details = image.astype(np.float32) - cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    ratio = np.array([height, width]) / filled.shape[:2]
    steps = cv2.resize((offsets * ratio).astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
    ys, xs = np.indices((height, width))
    ys = np.rint(ys + steps[..., 0]).astype(int).clip(0, height - 1)
    xs = np.rint(xs + steps[..., 1]).astype(int).clip(0, width - 1)
    large = cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC)
    return large + details[ys, xs]
