"""Boxes marked on the picture of a page."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

PixelBox = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels."""
ShareBox = Sequence[float]
"""(left, top, right, bottom) in shares of the width and height of a page, 0 to 1."""

_HIGHLIGHT = (255, 224, 130)  # multiplied with the page: white takes this colour, ink stays dark
# A dark page hardly changes when it is multiplied; its marks are framed, too.
_FRAME = (224, 145, 0)
_DARK = 96


def marked_png(picture: Image.Image, shares: Iterable[ShareBox] = (), pixels: Iterable[PixelBox] = ()) -> bytes:
    """Return an RGB picture as PNG with boxes highlighted."""
    from PIL import Image, ImageChops, ImageDraw, ImageStat

    boxes = list(pixels)
    for left, top, right, bottom in shares:
        boxes.append((left * picture.width, top * picture.height, right * picture.width, bottom * picture.height))
    if boxes:
        layer = Image.new("RGB", picture.size, (255, 255, 255))
        draw = ImageDraw.Draw(layer)
        for left, top, right, bottom in boxes:
            draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=_HIGHLIGHT)
        picture = ImageChops.multiply(picture, layer)
        if ImageStat.Stat(picture.convert("L").reduce(8) if min(picture.size) > 64 else picture).mean[0] < _DARK:
            draw = ImageDraw.Draw(picture)
            for left, top, right, bottom in boxes:
                draw.rectangle((left - 2, top - 2, right + 2, bottom + 2), outline=_FRAME, width=2)
    out = io.BytesIO()
    picture.save(out, format="PNG", compress_level=3)
    return out.getvalue()
