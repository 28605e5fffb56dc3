import gzip

import nibabel
import numpy as np
import pytest

from ingest.images import describe_image, read_image, read_picture
from ingest.pixels import CorruptImage, NoPixels, SingularAffine


def write_volume(path, voxels, affine=None, kind=nibabel.Nifti1Image):
    nibabel.save(kind(np.asarray(voxels), np.eye(4) if affine is None else affine), path)
    return path


def marked(shape, **corners):
    """A volume of zeros with 100 at the named voxels."""
    voxels = np.zeros(shape, np.int16)
    for place in corners.values():
        voxels[place] = 100
    return voxels


def bright(path):
    return np.argwhere(read_image(path)[..., 0] > 200).tolist()


def test_the_middle_axial_slice_is_shown_with_front_up_and_the_right_side_left(tmp_path):
    # RAS+, 5 right-left x 4 back-front x 3 feet-head: the patient's front right corner of the middle slice.
    voxels = marked((5, 4, 3), front_right=(4, 3, 1), elsewhere=(0, 0, 2))
    path = write_volume(tmp_path / "a.nii.gz", voxels)
    assert read_picture(path).size == (5, 4)
    assert bright(path) == [[0, 0]]


def test_the_same_patient_stored_otherwise_gives_the_same_picture(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 99, (5, 4, 3)).astype(np.int16)
    first = read_image(write_volume(tmp_path / "ras.nii", voxels))
    left = np.diag([-1.0, 1, 1, 1])
    left[0, 3] = 4
    assert np.array_equal(first, read_image(write_volume(tmp_path / "las.nii", voxels[::-1], left)))
    lying = np.eye(4)[:, [2, 0, 1, 3]]  # stored feet-head first
    stored = voxels.transpose(2, 0, 1)
    assert np.array_equal(first, read_image(write_volume(tmp_path / "sra.nii", stored, lying)))
    several = np.stack([voxels, voxels[::-1]], axis=-1)
    for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        assert np.array_equal(first, read_image(write_volume(tmp_path / "4d.nii", several, kind=kind)))


def test_a_thin_volume_shows_its_only_slice_head_up(tmp_path):
    coronal = marked((5, 1, 3), head_left=(0, 0, 2))
    path = write_volume(tmp_path / "a.nii", coronal)
    assert read_picture(path).size == (5, 3)
    assert bright(path) == [[0, 4]]


def test_colour_scaling_and_gaps(tmp_path):
    rgb = np.zeros((2, 1, 1), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb["G"] = 9
    assert read_image(write_volume(tmp_path / "c.nii", rgb)).tolist() == [[[0, 9, 0], [0, 9, 0]]]
    gaps = np.array([[[np.nan], [0.0], [np.inf], [7.0]]])
    assert sorted(read_image(write_volume(tmp_path / "g.nii", gaps))[..., 0].ravel().tolist())[0] == 0
    assert describe_image(tmp_path / "g.nii").width_px == 1


def test_volumes_that_cannot_be_shown_say_why(tmp_path):
    flat = np.diag([1.0, 1, 0, 1])
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), None)
    image.header.set_sform(flat, code=1)
    image.header.set_qform(None, code=0)
    nibabel.save(image, tmp_path / "flat.nii")
    with pytest.raises(SingularAffine, match="expected an affine that can be inverted"):
        read_image(tmp_path / "flat.nii")
    with pytest.raises(CorruptImage, match="finite"):
        read_image(write_volume(tmp_path / "nan.nii", np.full((2, 2, 2), np.nan)))
    whole = write_volume(tmp_path / "a.nii", np.zeros((9, 9, 9), np.int16)).read_bytes()
    (tmp_path / "header.hdr").write_bytes(whole[:348])
    with pytest.raises(NoPixels):
        read_image(tmp_path / "header.hdr")
    for broken in (b"", b"no volume", whole[:100], whole[:700], gzip.compress(whole)[:50]):
        for name in ("b.nii", "b.nii.gz"):
            (tmp_path / name).write_bytes(broken)
            with pytest.raises(CorruptImage):
                read_image(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "absent.nii")
