"""Where checkpoints may lie, and what is said of an address or a folder that they cannot lie at."""

from pathlib import Path

import pytest
from train_process import words

from deploy.command_line import main
from streamer.errors import PhasemixError
from training.checkpoints.place import default_place, place_at


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ftp://host/folder", "unknown scheme, ftp://; name a local folder, or one of s3://"),
        ("s3://bucket", "write it as s3://bucket/folder"),
        ("s3://bucket/", "write it as s3://bucket/folder"),
        ("s3://bucket/a/../b", "write it as s3://bucket/folder"),
        ("s3://bucket//a", "write it as s3://bucket/folder"),
        ("s3://key:hidden@bucket/a", "credentials into the environment"),
        ("s3://bucket/a?token=hidden", "credentials into the environment"),
    ],
)
def test_an_address_that_is_none_is_one_line_without_secrets(address: str, says: str) -> None:
    with pytest.raises(PhasemixError, match=says) as error:
        place_at(address)
    assert "\n" not in str(error.value)
    assert "hidden" not in str(error.value)


def test_a_place_is_a_folder_or_an_address_with_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASEMIX_CACHE", str(tmp_path))
    place = default_place("s3://bucket/code/", "a")
    assert (str(place), place.folder) == (
        "s3://bucket/code/checkpoints/a", tmp_path / "checkpoints/s3/bucket/code/checkpoints/a"
    )  # fmt: skip
    beside = place.beside("b")
    assert (beside.url, beside.folder) == ("s3://bucket/code/checkpoints/b", place.folder.parent / "b")
    local = default_place(str(tmp_path / "root"), "a")
    assert (local.url, local.folder) == (None, tmp_path / "root" / "checkpoints" / "a")


def test_a_dry_run_says_that_the_folder_cannot_be_written_and_makes_none(
    code_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    asked = ["train", *words(code_root, "a", "--set", "steps=20", "--dry-run")]
    for folder in (str(tmp_path / "file"), str(tmp_path / "file" / "below")):
        assert main([*asked, "--save-folder", folder]) == 2
        assert f"checkpoints cannot be written to {folder}: " in capsys.readouterr().err
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "ALLOW_HTTP": "true", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    assert main([*asked, "--save-folder", "s3://absent-bucket/a"]) == 2
    said = capsys.readouterr().err
    assert "checkpoint folder s3://absent-bucket/a cannot be listed: bucket absent-bucket does not exist" in said
    assert main([*asked, "--save-folder", str(tmp_path / "new" / "a")]) == 0
    assert not (tmp_path / "new").exists()
