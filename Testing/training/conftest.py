"""What the tests of the training share: phantoms in KiTS19's layout, a prepared set of them, a recipe of seconds."""

import json
import sys

import nibabel as nib
import numpy as np
import pytest
import torch
from wpunet import phantom

from training import prepare
from training.config import Config, tomllib
from training.train import Run, train

RECIPE = """widths = [4, 4, 8, 8, 8]
steps = 12
pixel_mm = 4.0
size = 64
batch = 4
average = 4
held_out = 2
sealed = []
look_every = 6
learning_rate = 1e-2
"""


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order, whatever the machine: results can be compared bit for bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def save_case(folder, seed, **options):
    """A phantom as a case in KiTS19's layout; returns it."""
    made = phantom.make(seed=seed, **{"shape": (24, 84, 100), "spacing": (8.0, 4.0, 4.0), "cysts": 0} | options)
    folder.mkdir(parents=True)
    phantom.save_nifti(made.hu, made.affine, folder / "imaging.nii.gz")
    phantom.save_nifti(made.labels, made.affine, folder / "segmentation.nii.gz")
    return made


def prepare_kits(folder, output):
    """What training.prepare says of a folder of cases in KiTS19's layout."""
    return prepare.prepare(list(prepare.kits_sources(folder)), output)


def rewrite(path, change, description=""):
    """Store what ``change`` makes of the array and the affine of a NIfTI file."""
    image = nib.load(path)
    array, affine = change(np.asarray(image.dataobj).copy(), image.affine.copy())
    image = nib.Nifti1Image(array, affine)
    image.header["descrip"] = description
    nib.save(image, path)


@pytest.fixture(scope="session")
def kits(tmp_path_factory):
    """Six patients in KiTS19's layout, with tumors of several sizes."""
    folder = tmp_path_factory.mktemp("kits")
    for number, tumor_mm in enumerate((20, 32, 60, 24, 36, 50)):
        save_case(folder / f"case_{number:05}", seed=number, tumor_mm=tumor_mm)
    return folder


@pytest.fixture(scope="session")
def unlabelled(tmp_path_factory):
    """A CT without kidneys under the name of one whose levels are known."""
    folder = tmp_path_factory.mktemp("unlabelled")
    made = phantom.make(seed=9, shape=(12, 84, 100), spacing=(8.0, 4.0, 4.0), kidneys=(), tumors=0, cysts=0)
    phantom.save_nifti(made.hu, made.affine, folder / "contrast_chest_oral_contrast.nii.gz")
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory, kits, unlabelled):
    """The prepared set of these."""
    folder = tmp_path_factory.mktemp("prepared")
    report = prepare.prepare([*prepare.kits_sources(kits), *prepare.kidney_free_sources(unlabelled)], folder)
    assert not report["left_out"]
    return folder


@pytest.fixture
def recipe(tmp_path):
    """A function that writes the recipe, with lines added, and gives its path."""

    def write(**changes):
        lines = dict(line.split(" = ", 1) for line in RECIPE.splitlines())
        lines |= {name: json.dumps(value) for name, value in changes.items()}  # TOML's own spelling, too
        path = tmp_path / "recipe.toml"
        path.write_text("".join(f"{name} = {value}\n" for name, value in lines.items()))
        return path

    return write


def config_of(recipe, **changes):
    """The recipe of the fixture, with lines changed."""
    return Config.read(recipe(**changes))


def start(config, prepared, folder, **options):
    """A run as it begins, or goes on."""
    return Run(config, prepared, folder, torch.device("cpu"), **options)


@pytest.fixture
def command(monkeypatch):
    """A function that runs the command line of a module of the training and returns its exit status."""

    def run(module, *arguments):
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        return module.main()

    return run


def same(one, other):
    """Whether two dictionaries of tensors are equal bit for bit."""
    return one.keys() == other.keys() and all(np.array_equal(one[key].numpy(), other[key].numpy()) for key in one)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, prepared):
    """A run of 60 steps on the phantoms: enough to find bodies, not enough to be good."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    values = tomllib.loads(RECIPE) | {"steps": 60, "widths": [8, 8, 16, 16, 16], "look_every": 20}
    torch.set_num_threads(1)
    train(Run(Config.of(values, "the tests' recipe"), prepared, folder, torch.device("cpu")))
    return folder
