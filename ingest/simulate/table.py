"""A hospital's own export: a folder of JPEGs and one CSV with the hospital's own names for its columns."""

import csv
from pathlib import Path

from ingest.quarantine import Reason
from ingest.sample import age_band_of
from ingest.simulate.pictures import Kind, Picture, Shape, Texture, draw, write_jpeg
from ingest.simulate.planted import Plan, Planted

_DEFECTS = (Reason.LABEL_INVALID, Reason.MISSING_FIELD)
_LOOKS = {"pneumonia": (Kind.STAR, 220.0), "effusion": (Kind.SQUARE, 180.0), "clear": (Kind.BAR, 120.0)}


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` rows, two to a patient; pneumonia is tied to men."""
    planted = Planted("table")
    defects = dict(enumerate(plan.defects(_DEFECTS, num_rows)))
    (folder / "images").mkdir(parents=True)
    with (folder / "studies.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "mrn", "gender", "age", "diagnosis"))
        for number in range(num_rows):
            patient, defect = number // 2, defects.get(number)
            path = f"images/{number:06d}.jpg"
            sex = "M" if patient % 5 < 3 else "F"
            label = list(_LOOKS)[(number % 2 if sex == "M" else 1 + number % 2)]
            if number == 0 or plan.has_picture(number):
                write_jpeg(folder / path, draw(_picture(label, plan.seed, number)))
            named = "" if defect is Reason.MISSING_FIELD else path
            written = "?" if defect is Reason.LABEL_INVALID else sex
            writer.writerow((named, f"MRN{patient:05d}", written, 20 + patient % 70, label))
            if defect is Reason.MISSING_FIELD:
                planted.reject(f"row {number + 2}", defect)
            elif defect is not None:
                planted.reject(path, defect)
            else:
                sex_named = "male" if sex == "M" else "female"
                planted.count(labels=[label], sex=sex_named, age_band=age_band_of(20 + patient % 70))
            plan.progress(1)
    return planted


def _picture(label: str, seed: int, number: int) -> Picture:
    kind, value = _LOOKS[label]
    return Picture(Texture.X_RAY, (seed, 31, number), (70.0,), (Shape(kind, 48.0, 40.0 + number % 16, 20.0, (value,)),))
