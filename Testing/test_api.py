"""The examples of docs/api.md run, one after the other, with a generated CT."""

import re
from pathlib import Path

from Testing import phantom

GUIDE = Path(__file__).parents[1] / "docs" / "api.md"


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    made = phantom.make(seed=2, shape=(60, 104, 104), spacing=(5.0, 4.0, 4.0), tumor_mm=45)
    phantom.save_nifti(made.hu, made.affine, tmp_path / "ct.nii.gz", "RAS")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.S)
    assert len(examples) == 7
    names: dict = {}
    for example in examples:
        exec(compile(example, str(GUIDE), "exec"), names)
    told = capsys.readouterr().out
    assert "right kidney" in told
    assert "pole to pole" in told
    assert "absent.nii.gz does not exist" in told
    for written in ("kidneys.nii.gz", "kidneys.seg.nrrd", "report.json"):
        assert (tmp_path / written).stat().st_size > 500
