import pytest

from ingest.anatomy import Anatomy, anatomy_of, anatomy_of_structures


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lower extremity", Anatomy.LOWER_LIMB), ("ABD", Anatomy.ABDOMEN), ("CHEST", Anatomy.CHEST),
        ("kidney_left", Anatomy.ABDOMEN), ("unknown", Anatomy.UNKNOWN), ("back", Anatomy.BACK),
        ("scalp", Anatomy.SCALP), ("Brain_Tissue", Anatomy.BRAIN), ("backward glance", Anatomy.UNKNOWN),
    ],
)  # fmt: skip
def test_the_anatomy_of_a_name(text, expected):
    assert anatomy_of(text) is expected


def test_structures_vote_and_vessels_abstain():
    assert anatomy_of_structures(["liver", "spleen", "esophagus", "aorta"]) is Anatomy.ABDOMEN
    assert anatomy_of_structures(["liver", "brain"]) is Anatomy.UNKNOWN
    assert anatomy_of_structures([]) is Anatomy.UNKNOWN
