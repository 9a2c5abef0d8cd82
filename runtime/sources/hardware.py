"""Decoders in hardware, as PyAV has them; never a silent fall-back to the CPU."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError, need

CODECS = ("h264", "hevc")


def accelerator(choice: str) -> Any:
    """PyAV's HWAccel for `''` (None), `auto`, or `KIND[:DEVICE]`, e.g. `cuda`, `cuda:1`, `vaapi:/dev/dri/renderD128`.

    Raises:
        ConfigError: no such decoder here; says which there are.
    """
    if not choice:
        return None
    av: Any = need("av")
    hwaccel: Any = need("av.codec.hwaccel")
    kind, _, device = choice.partition(":")
    built: list[str] = hwaccel.hwdevices_available()
    tried: dict[str, str] = {}
    for name in built if kind == "auto" else [kind] if kind in built else []:
        tried[name] = _why_not(av, hwaccel, name, device or None)
        if not tried[name]:
            return hwaccel.HWAccel(name, device or None, allow_software_fallback=False)
    found = ", ".join(f"{name} ({reason})" for name, reason in tried.items())
    raise ConfigError(f"--hardware '{choice}'", got=found or "no such decoder in this PyAV",
                      expected="auto or one of " + ", ".join(built), do="leave it out to decode on the CPU")


def _why_not(av: Any, hwaccel: Any, name: str, device: str | None) -> str:
    """Why a kind of decoder does not work here, or ''."""
    for codec in CODECS:
        try:
            av.CodecContext.create(codec, "r", hwaccel=hwaccel.HWAccel(name, device, allow_software_fallback=False))
        except NotImplementedError:
            continue
        except (av.error.FFmpegError, OSError, RuntimeError) as error:
            return str(getattr(error, "strerror", None) or error).lower()
        return ""
    return "not for H.264 or H.265"
