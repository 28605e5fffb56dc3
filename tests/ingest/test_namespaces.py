import duckdb

from ingest.adapters.root import Root
from ingest.namespaces import ARTICLE_SQL


def test_one_person_in_two_corpora_of_one_namespace_has_one_pseudonym(tmp_path):
    names = ("mimic_cxr", "cxr_lt_2024", "vqa_rad")
    mimic, cxr_lt, other = (Root(tmp_path, name).pseudonym("10000032") for name in names)
    assert mimic == cxr_lt != other


def article_of(figure_id):
    return duckdb.execute(
        f"SELECT {ARTICLE_SQL} FROM (SELECT CAST(? AS VARCHAR) AS figure_id)", [figure_id]
    ).fetchone()[0]


def test_the_article_of_a_figure():
    assert article_of("PMC1064097_F1") == article_of("PMC1064097_Fig4_11") == "PMC1064097"
    assert article_of("pmc_632348") is None  # PubMedVision's row number
    assert article_of("synpic100.jpg") is None and article_of(None) is None
