"""Images through torchvision.transforms.v2, with what is drawn there fixed."""

import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from common import Area

MODES = {"nearest": 0, "bilinear": 1, "bicubic": 2}
PADDINGS = {"constant": 0, "edge": 1, "reflect": 2, "symmetric": 3}


def image(case, dtype, c=3, h=13, w=17):
    smooth = torch.arange(h).view(1, h, 1) * 9 + torch.arange(w).view(1, 1, w) * 5
    x = (smooth + case.source.uniform(c, h, w, low=0, high=60)).clamp(0, 255)
    return x.to(torch.uint8) if dtype == "u8" else (x / 255).to(torch.float32)


class Recorder:
    def __init__(self):
        self.area = Area("transforms", "images through torchvision.transforms.v2")

    def add(self, name, op, function, dtype, shape=(3, 13, 17), within=0, **attributes):
        name = f"{name}_{dtype}"
        case = self.area.case(name, op, dtype, within=within, **attributes)
        x = image(case, dtype, *shape)
        case.put("in0", x)
        case.put("out", function(x))


def resizes(r, dtype):
    for mode, number in MODES.items():
        for antialias in (True, False):
            if mode == "nearest" and antialias:
                continue
            for size in ([7, 9], [20, 31], [13, 5], [6, 17], [2, 3]):
                def resize(x):
                    return F.resize(x, size, InterpolationMode(mode), antialias=antialias)

                name = f"resize_{mode}{'_aa' if antialias else ''}_{size[0]}x{size[1]}"
                r.add(name, "resize", resize, dtype, size=size, mode=number, antialias=antialias)
    for shape in ((3, 13, 17), (1, 17, 13), (3, 20, 20)):
        for size in (5, 9, 30):
            name = f"resize_shorter_{size}_of_{shape[1]}x{shape[2]}"
            r.add(name, "resize", lambda x: F.resize(x, size, antialias=True), dtype, shape,
                  size=[size], mode=1, antialias=True)
    r.add("resize_max", "resize", lambda x: F.resize(x, 12, max_size=14, antialias=True), dtype,
          size=[12], mode=1, antialias=True, max_size=14)


def geometry(r, dtype):
    for size in ([8, 8], [9, 10], [13, 17], [16, 11], [20, 22], [11, 20]):
        r.add(f"center_crop_{size[0]}x{size[1]}", "center_crop", lambda x: F.center_crop(x, size),
              dtype, size=size)
    for mode, number in PADDINGS.items():
        def pad(x):
            return F.pad(x, [3, 2, 3, 2], fill=7.0 if mode == "constant" else 0, padding_mode=mode)

        r.add(f"pad_{mode}", "pad", pad, dtype, padding=[2, 3], padding_mode=number, fill=7.0)
    for degrees in (0.0, 90.0, 30.0, -45.5, 180.0):
        for expand in (False, True):
            def rotate(x):
                mode = InterpolationMode.BILINEAR
                return F.rotate(x, degrees, mode, expand=expand, fill=3.0)

            name = f"rotate_{degrees}{'_expand' if expand else ''}"
            r.add(name, "rotate", rotate, dtype, degrees=degrees, expand=expand, mode=1, fill=3.0)
    r.add("rotate_nearest", "rotate", lambda x: F.rotate(x, 33.0), dtype, degrees=33.0,
          expand=False, mode=0, fill=0.0)


def colours(r, dtype):
    for factor in (0.0, 0.4, 1.0, 1.7):
        r.add(f"brightness_{factor}", "adjust", lambda x: F.adjust_brightness(x, factor), dtype,
              what=0, factor=factor)
        r.add(f"contrast_{factor}", "adjust", lambda x: F.adjust_contrast(x, factor), dtype,
              what=1, factor=factor)
        r.add(f"saturation_{factor}", "adjust", lambda x: F.adjust_saturation(x, factor), dtype,
              what=2, factor=factor)
    r.add("contrast_gray", "adjust", lambda x: F.adjust_contrast(x, 1.3), dtype, (1, 9, 8), what=1,
          factor=1.3)
    for factor in (-0.5, -0.1, 0.0, 0.2):
        r.add(f"hue_{factor}", "adjust", lambda x: F.adjust_hue(x, factor), dtype, what=3,
              factor=factor)
    r.add("gray_1", "grayscale", lambda x: F.rgb_to_grayscale(x, 1), dtype, channels=1)
    r.add("gray_3", "grayscale", lambda x: F.rgb_to_grayscale(x, 3), dtype, channels=3)
    for kernel, sigma in (([3, 3], 0.8), ([5, 7], 1.5), ([1, 3], 0.3)):
        def blur(x):
            return F.gaussian_blur(x, [kernel[1], kernel[0]], [sigma, sigma])

        r.add(f"blur_{kernel[0]}x{kernel[1]}", "blur", blur, dtype, kernel=kernel, sigma=sigma)


def make(folder):
    r = Recorder()
    for dtype in ("u8", "f32"):
        resizes(r, dtype)
        geometry(r, dtype)
        colours(r, dtype)
    for dtype in ("u8", "f32"):
        r.add("to_float", "to_float", lambda x: F.to_dtype(x, torch.float32, scale=True), dtype)

    def normalize(x):
        return F.normalize(F.to_dtype(x, torch.float32, scale=True), [.4, .5, .6], [.2, .25, .3])

    r.add("normalize", "normalize", normalize, "u8")
    r.area.write(folder)
