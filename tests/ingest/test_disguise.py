import pickle

import pytest

from ingest.adapters.root import Root
from ingest.deidentify import PUBLIC_KEY
from ingest.disguise import HiddenFolder, hidden_name
from ingest.errors import BadInput
from ingest.quarantine import Reason

KEY = b"a key of the hospital's own"
MRN = "MRN00815"


def test_names_keep_their_usual_ending_and_nothing_else():
    assert hidden_name("dicom", f"{MRN}/scan.DCM", KEY).endswith(".dcm")
    assert len(hidden_name("dicom", f"a/scan.{MRN}", KEY)) == 32
    assert hidden_name("table", "x.parquet#3", KEY) == hidden_name("table", "./x.parquet", KEY) + "#3"
    names = {hidden_name("dicom", "a.dcm", KEY), hidden_name("table", "a.dcm", KEY), hidden_name("dicom", "b.dcm", KEY),
             hidden_name("dicom", "a.dcm", PUBLIC_KEY)}  # fmt: skip
    assert len(names) == 4


def test_rows_of_identifiable_data_leave_under_other_names_and_their_files_are_found_again(tmp_path):
    (tmp_path / MRN).mkdir()
    (tmp_path / MRN / "a.dcm").write_bytes(b"picture")
    root = Root(tmp_path, "dicom", key=KEY, identifiable=True)
    uri = f"{MRN}/a.dcm"
    sample = root.sample(uri, image_uris=[uri], source_file=uri, study_id=MRN, figure_id=MRN, mask_uri=uri)
    root.reject(uri, source_file=uri, source_row=None, reason=Reason.IMAGE_CORRUPT, detail="")
    root.reject("", source_file="", source_row=None, reason=Reason.IMAGE_CORRUPT, detail="", sample=sample)
    assert MRN not in str(sample) + str(root.rejections)
    assert sample.native_id == root.rejections[0].native_id == root.rejections[1].native_id
    assert root.resolve(sample.image_uris[0]) == tmp_path / uri
    folder = pickle.loads(pickle.dumps(HiddenFolder(tmp_path, "dicom", KEY)))
    assert (folder / sample.image_uris[0]).read_bytes() == b"picture"
    assert KEY.decode() not in repr(folder)
    with pytest.raises(BadInput, match="another key"):
        HiddenFolder(tmp_path, "dicom", b"other") / sample.image_uris[0]


def test_public_data_keep_their_names(tmp_path):
    sample = Root(tmp_path, "vqa_rad").sample("7", image_uris=["a.jpg"], source_file="t.json")
    assert (sample.native_id, sample.image_uris, sample.source_file) == ("7", ["a.jpg"], "t.json")
