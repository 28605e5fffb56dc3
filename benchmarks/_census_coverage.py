"""Does the census find what was planted? Coverage of its intervals and its flags over small seeded corpora."""

from typing import Any

import numpy as np

from ingest.attributes import connect_table
from ingest.census import WHOLE_CORPUS, associations, count_levels, encode, with_partners
from ingest.sample import Sample, to_table

NUM_PERSONS = 150
SHARES = {
    "sex": {"female": 0.35, "male": 0.65},
    "race": {"A": 0.7, "B": 0.22, "C": 0.08},
    "age_band": {"18-39": 0.2, "40-59": 0.5, "60-79": 0.3},
    "modality": {"x_ray": 0.55, "ultrasound": 0.35, "mammography": 0.1},
}
FIRST_AGE = {"18-39": 18, "40-59": 40, "60-79": 60}
SICK = {"female": 0.8, "male": 0.3}
"""The planted association: how often "mass" is said of whom. Everything else is independent."""
ATTRIBUTES = ("sex", "race", "age_band", "modality")


def corpus(seed: int) -> Any:
    """150 persons of 1 to 5 rows each; the modality of a person's rows goes together, without changing its share."""
    generator = np.random.default_rng(seed)

    def pick(shares: dict[str, float]) -> str:
        return str(generator.choice(list(shares), p=list(shares.values())))

    samples = []
    for person in range(NUM_PERSONS):
        sex, race, band, usual = (pick(SHARES[name]) for name in ATTRIBUTES)
        age = float(FIRST_AGE[band] + generator.integers(0, 20))
        sick = generator.random() < SICK[sex]
        site = "a" if generator.random() < 0.5 else "b"
        for row in range(int(generator.integers(1, 6))):
            modality = usual if generator.random() < 0.5 else pick(SHARES["modality"])
            name = f"{person}-{row}"
            samples.append(
                Sample(sample_id=name, dataset=site, native_id=name, patient_id=f"p{person}", sex=sex, race=race,
                       age_years=age, modality=modality, labels=["mass"] if sick else ["clear"])
            )  # fmt: skip
    return encode(connect_table(to_table(samples)), with_partners(ATTRIBUTES))


def study(num_corpora: int) -> dict[str, Any]:
    """Over corpora of seeds 0, 1, ...: coverage of the planted shares, how often the planted association is flagged.

    Returns: coverage (all, and by level); planted_flagged; false_flags: share of the tests of nothing that are flagged;
        false_discoveries: mean share of the flags of a corpus that are false.
    """
    held: dict[str, list[bool]] = {}
    planted, false, discoveries = [], [], []
    for seed in range(num_corpora):
        coded = corpus(seed)
        counted = {
            (row["attribute"], row["level"]): row for row in count_levels(coded, ATTRIBUTES, seed=seed).to_pylist()
            if row["dataset"] == WHOLE_CORPUS
        }  # fmt: skip
        for attribute, shares in SHARES.items():
            for level, share in shares.items():
                row = counted.get((attribute, level))
                held.setdefault(f"{attribute} {level}", []).append(
                    row is not None and row["low"] <= share <= row["high"]
                )
        flags: dict[bool, list[bool]] = {True: [], False: []}
        for row in associations(coded, ATTRIBUTES, seed=seed).to_pylist():
            flags[(row["attribute_a"], row["attribute_b"]) == ("sex", "label")].append(row["q_value"] < 0.05)
        planted.append(all(flags[True]))
        false += flags[False]
        discoveries.append(sum(flags[False]) / max(1, sum(flags[False]) + sum(flags[True])))
    return {
        "num_corpora": num_corpora,
        "coverage": round(float(np.mean([one for level in held.values() for one in level])), 4),
        "coverage_by_level": {name: round(float(np.mean(level)), 4) for name, level in held.items()},
        "planted_flagged": round(float(np.mean(planted)), 4),
        "false_flags": round(float(np.mean(false)), 4),
        "false_discoveries": round(float(np.mean(discoveries)), 4),
    }
