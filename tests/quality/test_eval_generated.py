"""Scores of generated pictures, from the judge to the command."""

import json
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pytest
from epee.runtime.bundle import Bundle
from epee.runtime.cli import main
from epee.runtime.errors import DataError
from epee.runtime.picture_sets import open_pictures
from epee.runtime.quality.extractor import open_extractor
from epee.runtime.quality.generated import generated
from epee.runtime.quality.scoring import Judge, render


@pytest.fixture(scope="module")
def extractor(extractor_bundle):
    with open_extractor(extractor_bundle, "onnxruntime", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def judge(extractor, data):
    return Judge(extractor, open_pictures(data, 16, subset="test").images)


def command(capsys, *words):
    status = main(["eval", *map(str, words)])
    out, err = capsys.readouterr()
    return status, out, err


def test_pictures_of_the_same_kind_score_as_real_ones(judge, data):
    scores = judge(open_pictures(data, 16, subset="train", half="a").images)
    assert abs(scores.kid.value) < 3 * scores.kid.se
    assert abs(scores.floor.kid) < 3 * scores.floor.kid_sd
    assert scores.precision > 0.7
    assert scores.recall > 0.7
    assert (scores.images, scores.compared, scores.floor.images) == (72, min(72, scores.samples), 36)


@pytest.mark.parametrize("damage", ["blur", "grey", "one class"])
def test_damage_and_missing_classes_score_worse(judge, data, damage):
    pictures = open_pictures(data, 16, classes=True, subset="train", half="a")
    images = pictures.images
    if damage == "blur":
        images = np.stack([cv2.GaussianBlur(image, (0, 0), 3) for image in images])
    elif damage == "grey":
        images = images.mean(3, keepdims=True).astype(np.uint8).repeat(3, 3)
    else:
        images = images[pictures.labels == 0]
    damaged, whole = judge(images), judge(pictures.images)
    assert damaged.kid.value > whole.kid.value + 3 * damaged.kid.se
    assert damaged.kid.interval[0] > 0
    assert damaged.fd > whole.fd


def test_the_same_seed_gives_the_same_scores(extractor, judge, data):
    images = open_pictures(data, 16, subset="test").images
    again = Judge(extractor, images)
    assert judge(images[:40]) == again(images[:40])


def test_few_pictures_have_a_kid_and_no_frechet_distance(extractor, judge, data):
    images = open_pictures(data, 16, subset="test").images
    few = Judge(extractor, images[:30])(images[30:])
    assert (few.fd is None, few.floor.fd) == (False, None)  # 30 of each, but 15 in a half
    assert "real against real none: it needs more pictures than features" in render(few)
    fewer = judge(images[:12])
    assert (fewer.fd, fewer.to_json()["fd-squares"]) == (None, None)
    assert np.isfinite([fewer.kid.value, fewer.kid.se, fewer.precision, fewer.recall]).all()
    with pytest.raises(DataError, match="real pictures: got 5, expected 8 or more"):
        Judge(extractor, images[:5])


def test_what_is_generated_depends_on_the_seed_alone(generator_bundle):
    bundle = Bundle.open(generator_bundle)
    pictures = np.stack(list(generated(bundle, 70, 1, backend="onnxruntime")))
    assert pictures.shape == (70, 16, 16, 3)
    assert (pictures[:3].max((1, 2)).argmax(1) == [0, 1, 2]).all()  # its classes in turn
    assert (pictures[64:67].max((1, 2)).argmax(1) == [1, 2, 0]).all()
    assert (np.stack(list(generated(bundle, 70, 1, backend="onnxruntime"))) == pictures).all()
    assert (np.stack(list(generated(bundle, 70, 2, backend="onnxruntime"))) != pictures).any()


def test_a_generators_bundle_is_scored(generator_bundle, extractor_bundle, data, tmp_path, capsys):
    words = (generator_bundle, "--data", data, "--extractor", extractor_bundle, "--samples", 90, "--backend",
             "onnxruntime", "--threads", 1)
    status, out, err = command(capsys, *words, "--json", "--neighbours", tmp_path / "new" / "near.png")
    found = json.loads(out)
    assert (status, err) == (0, "")
    assert set(found) == {"kid-squares", "fd-squares", "precision", "recall", "floor", "samples", "images", "compared",
                          "memory"}
    assert (found["samples"], found["images"], found["compared"]) == (90, 72, 72)
    assert found["kid-squares"]["interval"][0] < found["kid-squares"]["value"] < found["kid-squares"]["interval"][1]
    assert found["kid-squares"]["value"] > 3 * found["kid-squares"]["se"]  # plain colours are no squares on noise
    assert found["fd-squares"] > found["floor"]["fd-squares"]
    assert found["floor"]["images"] == 36
    assert cv2.imread(str(tmp_path / "new" / "near.png")).shape == (16 * 16 * 2, (16 + 4 + 5 * 16) * 2, 3)
    status, out, _ = command(capsys, *words)
    assert status == 0
    assert out.startswith("kid-squares")
    assert "fid" not in out.lower()


def test_a_zip_and_a_folder_of_pictures_are_scored(extractor_bundle, data, tmp_path, capsys):
    with zipfile.ZipFile(data) as file:
        for name in file.namelist():
            if name.startswith("train/"):
                path = tmp_path / "made" / name.replace("/", "-")
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(file.read(name))
    words = ("--data", data, "--extractor", extractor_bundle, "--json", "--threads", 1)
    status, out, _ = command(capsys, tmp_path / "made", *words)
    found = json.loads(out)
    assert (status, found["samples"]) == (0, 144)
    assert abs(found["kid-squares"]["value"]) < 3 * found["kid-squares"]["se"]
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as file:
        for path in (tmp_path / "made").iterdir():
            file.write(path, path.name)
    assert json.loads(command(capsys, tmp_path / "made.zip", *words)[1]) == found


def test_words_that_a_person_reads(judge, data):
    text = render(judge(open_pictures(data, 16, subset="test").images[:40]))
    assert text.splitlines()[0].startswith("kid-squares")
    assert "real against real" in text
    assert text.endswith("40 samples against 72 real pictures, 40 of each where counts matter, 36 in real against real")


def test_files_for_inception_need_their_own_size(data, capsys):
    status, _, err = command(capsys, data, "--data", data, "--inception", "no.pth")
    assert status == 1
    assert "--size of files for --inception: got nothing, expected the pictures' own" in err


@pytest.mark.parametrize(("words", "message"), [
    (["--samples", "3"], "--samples: got 3, expected 8 or more"),
    (["--split", "val"], "subset 'val': got no such folder"),
    (["--extractor", "{generator}"], "got task generate, expected task features"),
    (["--inception", "no.pth"], "Inception weights 'no.pth': got nothing there"),
    (["--inception", "no.pth", "--extractor", "x"], "--inception and --extractor: got both")])
def test_wrong_use_is_one_clear_line(generator_bundle, extractor_bundle, data, capsys, words, message):
    words = [word.format(generator=generator_bundle) for word in words]
    if not {"--extractor", "--inception"} & set(words):
        words += ["--extractor", extractor_bundle]
    status, _, err = command(capsys, generator_bundle, "--data", data, *words)
    assert status == 1
    assert message in err
    assert err.count("\n") == 1


def test_scoring_needs_no_torch(generator_bundle, extractor_bundle, data):
    code = ("import sys; from epee.runtime.cli import main\nstatus = main(sys.argv[1:])\n"
            "print(status, sorted({'torch', 'onnx', 'scipy', 'sklearn'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code, "eval", generator_bundle, "--data", data, "--extractor",
                           extractor_bundle, "--samples", "40", "--backend", "onnxruntime"], capture_output=True,
                          text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_trainer_is_scored_as_the_command_scores(judge, data):
    torch = pytest.importorskip("torch")
    from epee.train.networks.generator import Generator, GeneratorConfig
    from epee.train.scoring import pictures_of, scoring

    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(size=16, z=4, classes=3, label=4, channels=(8, 8, 8),
                                          convolutions=(1, 1, 1))).eval()
    images = pictures_of(generator, 40, seed=3, batch=16)
    assert images.shape == (40, 16, 16, 3)
    assert (pictures_of(generator, 40, seed=3, batch=16) == images).all()
    scores = scoring(judge, 40, seed=3)(generator)
    want = judge(pictures_of(generator, 40, seed=3))
    assert scores == {"kid-squares": want.kid.value, "kid-squares-se": want.kid.se, "fd-squares": want.fd,
                      "precision": want.precision, "recall": want.recall}
