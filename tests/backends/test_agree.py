"""All backends say the same of the same frame, whether the pixel work is done inside the graph or outside."""

import numpy as np
from epee.runtime.backends import open_session
from epee.runtime.bundle import Bundle
from epee.runtime.scores import equal_share

LEAST = 0.999


def test_fp32_answers_are_those_of_onnxruntime(street_like: Bundle, backend: str) -> None:
    goldens = street_like.goldens()
    with open_session(street_like, backend, "fp32") as session:
        answers = session.run({"frame": goldens["frame"]})
    assert len(np.unique(answers["mask"])) > 2
    assert equal_share(answers["mask"], goldens["mask"]) >= LEAST


def test_fused_and_unfused_agree(street_like: Bundle, unfused: Bundle, backend: str) -> None:
    frame = street_like.goldens()["frame"]
    with open_session(street_like, backend, "fp32") as inside, open_session(unfused, backend, "fp32") as outside:
        fused = inside.run({"frame": frame})["mask"]
        planes = np.ascontiguousarray(frame.transpose(0, 3, 1, 2).astype(np.float32))
        logits = outside.run({"planes": planes})["logits"]
    assert logits.dtype == np.float32
    ids = logits.argmax(-1).astype(np.uint8).repeat(2, 1).repeat(2, 2)
    assert equal_share(ids, fused) >= LEAST
