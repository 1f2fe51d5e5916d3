"""OpenCV's matchers, and measures of disparities and of rebuilt views that agree with `vergence evaluate`."""
import cv2
import numpy as np


def filled(disparity):
    """Row by row the smaller neighbour of a gap, then column by column."""
    result = disparity.copy()
    for row in result:
        known = np.flatnonzero(np.isfinite(row))
        if not len(known):
            continue
        row[:known[0]], row[known[-1] + 1:] = row[known[0]], row[known[-1]]
        for a, b in zip(known[:-1], known[1:]):
            if b > a + 1:
                row[a + 1:b] = min(row[a], row[b])
    rows = np.flatnonzero(np.isfinite(result[:, 0]))
    if len(rows):
        result[:rows[0]] = result[rows[0]]
        for y in range(rows[0] + 1, len(result)):
            if not np.isfinite(result[y, 0]):
                result[y] = result[y - 1]
    return result


def measures(disparity, truth):
    known = truth > 0
    error = np.abs(filled(disparity) - truth)[known]
    return {"epe": error.mean(), "bad3": (error > 3).mean(),
            "d1": ((error > 3) & (error > 0.05 * truth[known])).mean(),
            "density": np.isfinite(disparity[known]).mean()}


def padded(matcher, lowest, count):
    """A matcher of two gray views, with views padded as far as it looks to either side: it has no answer there otherwise."""
    before, behind = max(lowest + count, 0), max(-lowest, 0)

    def run(left, right):
        views = [cv2.copyMakeBorder(v, 0, 0, before, behind, cv2.BORDER_REPLICATE) for v in (left, right)]
        disparity = matcher.compute(*views).astype(np.float32)[:, before:before + left.shape[1]] / 16
        disparity[disparity < lowest] = np.nan
        return disparity
    return run


def sgbm(mode, lowest, count):
    return padded(cv2.StereoSGBM_create(lowest, count, 3, 36, 288, 1, 63, 10, 100, 32, mode), lowest, count)


def block_matcher(count):
    block = cv2.StereoBM_create(count, 15)
    block.setTextureThreshold(10)
    block.setUniquenessRatio(15)
    block.setSpeckleWindowSize(100)
    block.setSpeckleRange(32)
    block.setDisp12MaxDiff(1)
    return padded(block, 0, count)


def right_disparity(matcher, left, right):
    """Of the right view's pixels: mirrored, it is the left view."""
    return cv2.flip(matcher(cv2.flip(right, 1), cv2.flip(left, 1)), 1)


def right_view(left, disparity):
    """right(x) = left(x + d), linearly between columns, the edge pixel beyond the edge."""
    height, width = disparity.shape
    position = np.clip(np.arange(width) + filled(disparity), 0, width - 1)
    first = np.minimum(position.astype(int), width - 2)
    part = (position - first)[..., None]
    rows = np.arange(height)[:, None]
    return np.rint((1 - part) * left[rows, first] + part * left[rows, first + 1])


def view_measures(view, truth):
    """Mean absolute difference in 0…255, and SSIM: Gaussian of 11 taps, σ 1.5, where the window lies inside."""
    a, b = view.astype(np.float64), truth.astype(np.float64)

    def mean(x):
        return cv2.GaussianBlur(x, (11, 11), 1.5)[5:-5, 5:-5]

    (ma, mb), (c1, c2) = (mean(a), mean(b)), (2.55 ** 2, 7.65 ** 2)
    va, vb, vab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    ssim = (2 * ma * mb + c1) * (2 * vab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    return {"mae": np.abs(a - b).mean(), "ssim": ssim.mean()}


def pfm(path):
    with open(path, "rb") as file:
        assert file.readline().strip() == b"Pf"
        width, height = map(int, file.readline().split())
        order = "<" if float(file.readline()) < 0 else ">"
        return np.frombuffer(file.read(), order + "f4").reshape(height, width)[::-1].astype(np.float32)
