"""A folder of NIfTI volumes named as BIDS names them. The files are the rows: all hold voxels."""

from pathlib import Path

import nibabel
import numpy as np

from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.simulate.planted import Plan, Planted

_DEFECTS = (Reason.AFFINE_SINGULAR,)
_SHAPE = (20, 24, 6)


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` small T1-weighted volumes, one to a subject, every second one stored left to right."""
    planted = Planted("nifti")
    defects = dict(enumerate(plan.defects(_DEFECTS, num_rows)))
    for number in range(num_rows):
        name = f"sub-{number:05d}/anat/sub-{number:05d}_T1w.nii.gz"
        singular = defects.get(number) is Reason.AFFINE_SINGULAR
        spacing = [-2.0 if number % 2 else 2.0, 2.0, 0.0 if singular else 3.0, 1.0]
        voxels = np.random.default_rng((plan.seed, 29, number)).integers(0, 400, _SHAPE).astype(np.int16)
        image = nibabel.Nifti1Image(voxels, None)
        image.header.set_sform(np.diag(spacing), code=1)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(image, path)
        if singular:
            planted.reject(name, Reason.AFFINE_SINGULAR)
        else:
            planted.count(modality=Modality.MAGNETIC_RESONANCE)
        plan.progress(1)
    return planted
