"""Which data sets count the same people, lesions and figures: their identifiers mean the same across corpora.

A data set that is not named here keeps its identifiers to itself, so that two unrelated "patient 1" stay two.
"""

NAMESPACES: dict[str, str] = {
    "mimic_cxr": "mimic",
    "cxr_lt_2024": "mimic",
    "isic2018": "isic",
    "isic2019": "isic",
    "ham10000": "isic",
    "pubmedvision": "pmc",
    "pmc_vqa": "pmc",
    "vqa_rad": "medpix",
    "vqa_med_2019": "medpix",
}
"""Data set -> namespace of its ``patient_id`` (before the pseudonym), ``study_id`` and ``figure_id``."""

_PMC_FIGURE = r"(PMC\d+)_.+"
_SUFFIX = r"(?i)\.(jpe?g|png)$"

NAMESPACE_SQL = (
    "CASE dataset " + " ".join(f"WHEN '{name}' THEN '{space}'" for name, space in NAMESPACES.items())
    + " ELSE dataset END"
)  # fmt: skip
FIGURE_SQL = rf"regexp_replace(figure_id, '{_SUFFIX}', '')"
"""A figure is one whether its file's suffix was kept or not."""
ARTICLE_SQL = rf"nullif(regexp_extract(figure_id, '^{_PMC_FIGURE}$', 1), '')"
"""The article of a PMC figure: "PMC1064097_F1" stands in PMC1064097; null for every other figure.

PubMedVision's "pmc_632348" is no PMC number but its own row number, and gives null.
"""


def namespace_of(dataset: str) -> str:
    """The namespace of a data set's identifiers; its own name unless it shares one."""
    return NAMESPACES.get(dataset, dataset)
