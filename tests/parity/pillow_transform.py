"""Writes what Pillow's Image.transform(EXTENT) makes of a small test image.

    python tests/parity/pillow_transform.py src/render/testdata

writes `pillow_transform.tsv` (one case a line: mode, kernel, width, height, the
four edges of the source rectangle in pixels) and `pillow_transform.bin` (the
RGBA pixels of all cases, one after the other). The unit tests of
`render::warp` read both. Made with Pillow 13.0.0.
"""

import sys
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 23, 17
KERNELS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
RECTANGLES = [
    ((31, 29), (-2.3, -1.1, 20.7, 19.2)),
    ((20, 10), (3.25, 2.5, 16.75, 9.125)),
    ((9, 7), (0.0, 0.0, 23.0, 17.0)),
    ((3, 2), (-10.0, 3.0, 44.0, 4.5)),
    ((17, 5), (22.0, 16.0, 24.1, 18.1)),
]


def source(mode):
    """The image that the Rust test makes too, from the same generator."""
    state = 12345
    pixels = []
    for _ in range(WIDTH * HEIGHT):
        pixel = []
        for _ in range(4):
            state = (state * 1103515245 + 12345) % 2**31
            pixel.append(state >> 16 & 255)
        if mode == "RGB":
            pixel[3] = 255
        elif pixel[3] < 60:
            pixel[3] = 0
        elif pixel[3] > 200:
            pixel[3] = 255
        pixels.append(bytes(pixel))
    image = Image.frombytes("RGBA", (WIDTH, HEIGHT), b"".join(pixels))
    return image.convert(mode)


def main(directory):
    lines, pixels = [], []
    for mode in ("RGB", "RGBA"):
        image = source(mode)
        for name, kernel in KERNELS.items():
            for size, box in RECTANGLES:
                result = image.transform(size, Image.Transform.EXTENT, box, kernel)
                lines.append("\t".join([mode, name, *map(str, size), *map(str, box)]))
                pixels.append(result.convert("RGBA").tobytes())
    (directory / "pillow_transform.tsv").write_text("\n".join(lines) + "\n")
    (directory / "pillow_transform.bin").write_bytes(b"".join(pixels))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
