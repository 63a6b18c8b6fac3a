"""Pictures as data URIs, small enough to stand in a page by the dozen."""

import base64

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH_PX = 112
_QUALITY = 82
_HOLE = (128, 128, 128)
_NEAR, _FAR = 2, 98  # percentiles of what is measured that are the ends of the colours


def rgb_uri(rgb: NDArray[np.uint8], width_px: int = WIDTH_PX) -> str:
    """(H, W, 3) uint8 RGB as the data URI of a JPEG so wide, in the image's own shape."""
    height, width = rgb.shape[:2]
    side = (width_px, max(1, round(width_px * height / width)))
    way = cv2.INTER_AREA if width > width_px else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(rgb), side, interpolation=way)
    done, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ValueError(f"no JPEG of an image of shape {rgb.shape}")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def depth_uri(codes: NDArray[np.uint8], width_px: int = WIDTH_PX) -> str:
    """Encoded depth, (H, W, 3) uint8, see :func:`edgevl_core.camera.depth.encode_depth`, as :func:`rgb_uri`.

    Near is bright, far is dark, over the range of each picture; holes are grey.
    """
    depth, valid = codes[..., 0].astype(np.float32), codes[..., 2] > 0
    picture = np.empty_like(codes)
    picture[:] = _HOLE
    if valid.any():
        low, high = np.percentile(depth[valid], (_NEAR, _FAR))
        level = 255 * (1 - np.clip((depth - low) / max(float(high - low), 1.0), 0, 1))
        colours = cv2.applyColorMap(level.astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
        picture[valid] = colours[valid]
    return rgb_uri(picture, width_px)
