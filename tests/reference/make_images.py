"""Small JPEG and PNG files, and the pixels that torchvision's decoders give for them."""

import io

import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from common import Area

MODES = {"unchanged": 0, "gray": 1, "gray_alpha": 2, "rgb": 3, "rgba": 4}


def picture(channels, height, width):
    """Smooth, and different in every channel."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    planes = [(40 * k + 5 * y + (3 + k) * x) % 200 for k in range(channels)]
    return torch.stack(planes).to(torch.uint8)


def encoded(image, mode, form, **options):
    data = io.BytesIO()
    if mode in ("L", "P", "1"):
        pixels = Image.fromarray(image[0].numpy(), "L").convert(mode)
    else:
        pixels = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy(), mode)
    pixels.save(data, form, **options)
    return torch.frombuffer(bytearray(data.getvalue()), dtype=torch.uint8)


FILES = {
    "rgb": encoded(picture(3, 19, 29), "RGB", "JPEG", quality=90),
    "rgb_444": encoded(picture(3, 19, 29), "RGB", "JPEG", quality=90, subsampling=0),
    "gray": encoded(picture(1, 17, 11), "L", "JPEG", quality=90),
    "progressive": encoded(picture(3, 33, 18), "RGB", "JPEG", quality=80, progressive=True),
    "restarts": encoded(picture(3, 33, 18), "RGB", "JPEG", quality=80, restart_marker_rows=1),
    "cmyk": encoded(picture(4, 16, 16), "CMYK", "JPEG", quality=95),
    "png_rgb": encoded(picture(3, 9, 7), "RGB", "PNG"),
    "png_rgba": encoded(picture(4, 9, 7), "RGBA", "PNG"),
    "png_gray": encoded(picture(1, 9, 7), "L", "PNG"),
    "png_gray_alpha": encoded(picture(2, 9, 7), "LA", "PNG"),
    "one": encoded(picture(3, 1, 1), "RGB", "JPEG"),
}


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def make(folder):
    area = Area("images", "image files and the pixels that torchvision reads from them")
    for name, data in FILES.items():
        for mode, number in MODES.items():
            png, gray = name.startswith("png"), mode.startswith("gray")
            if name == "cmyk" and mode != "rgb":
                continue
            if not png and mode in ("gray_alpha", "rgba"):
                continue
            case = area.case(f"{name}_{mode}", "image", "u8", mode=number, within=1 if gray else 0)
            case.put("bytes", data)
            want = {"gray": "GRAY", "gray_alpha": "GRAY_ALPHA", "rgb": "RGB", "rgba": "RGB_ALPHA"}
            case.put("out", decode_image(data, ImageReadMode[want.get(mode, "UNCHANGED")]))
    for orientation in range(1, 9):
        data = encoded(picture(3, 8, 13), "RGB", "JPEG", exif=exif(orientation))
        case = area.case(f"orientation_{orientation}", "image", "u8", mode=3, orient=True, within=0)
        case.put("bytes", data)
        out = decode_image(data, ImageReadMode.RGB, apply_exif_orientation=True)
        case.put("out", out)
    area.write(folder)
