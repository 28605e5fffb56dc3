"""The bias census: who and what is in the corpus, and how sure one can be of it (METHODS section 1).

``take_census`` counts the samples table and publishes ``census/`` whole. Every table is Parquet, one row per
line below; ``dataset`` is a data set's name or ``__all__``; a level is text, missing is ``__missing__``, not
applicable ``__not_applicable__``. Where ``suppressed`` is true every figure of the row is null: show the word,
never a blank. Persons, not rows, carry every interval and every test. Tables without rows are written too.

    counts          attribute, level, dataset, num_rows, num_images, num_studies, num_persons,
                    share (of rows), low, high (95 %, patient bootstrap), suppressed
    summaries       attribute, dataset, unit (row | image | study | person), num_units, num_levels, num_declared,
                    entropy (nats, Miller-Madow), evenness, hill1, hill2, imbalance_ratio, gini,
                    empty_levels (declared, without rows), suppressed
    reference       attribute, dataset, level, observed, expected, ratio, low, high (of the ratio), and repeated on
                    every level: d (Jensen-Shannon distance), null_95, p_value, reference, version, date; suppressed
    associations    attribute_a, attribute_b, level_b (one label; null where attribute_b is meant whole), num_rows,
                    num_persons, cramers_v (bias-corrected), low, high, mutual_information (nats), nmi,
                    p_value (patient permutation), q_value (Benjamini-Hochberg), family_size; and for the cell that
                    departs most: strongest_a, strongest_b, odds_ratio, odds_low, odds_high, mh_ratio, mh_low,
                    mh_high (Mantel-Haenszel over strata), strata (columns that make them), homogeneity_p,
                    explained, reversal, suppressed; strongest first, suppressed last
    prevalence      attribute, level, label, num_rows, num_persons, num_positive, prevalence, low, high,
                    difference, difference_low, difference_high (to the rest), ratio, ratio_low, ratio_high, suppressed
    detectability   attribute, label (null: the attribute read off the pictures alone), num_rows, num_persons,
                    num_pictures, num_levels (read), utility (bias-corrected V with the label), utility_low,
                    utility_high, auc (one level against the rest, mean; held out), auc_low, auc_high,
                    risk (utility x (2 auc - 1)), low, high, p_value, q_value, family_size, suppressed
    missingness     attribute, dataset, num_rows, num_applicable (rows it applies to, ingest.applicability),
                    num_persons, num_missing, share (of those it applies to), low, high, suppressed
    missing_tests   attribute, against, level (one label), cramers_v, p_value, q_value, family_size, suppressed
    protocol        field, dataset, num_rows, num_applicable (rows whose modality has the field), num_persons,
                    median, q1, q3, eta2 (repeated), suppressed
    protocol_pairs  field, dataset_a, dataset_b, ks, p_value, q_value, family_size, suppressed
    protocol_values field, dataset, value, num_rows, num_persons, share, suppressed (vendor, view, kernel ...)
    intersections   order (2 | 3), attribute_1, level_1, attribute_2, level_2, attribute_3, level_3 (null at order 2),
                    num_rows, num_persons, share, expected (if independent among the rows all
                    attributes apply to), lift, low, high, suppressed
    provenance      attribute, source (metadata | curated | rule | model | __missing__ | __not_applicable__),
                    dataset, num_rows, num_persons, share, suppressed
    corrected       attribute, dataset, level, tagged (share), corrected (share), low, high, num_audited,
                    status (audited | unverified), suppressed (noise-corrected shares, with an audit file only)
    drift           before, after (versions of the samples table), attribute, level, dataset, rows_before, rows_after,
                    persons_before, persons_after, rows_came, rows_went, rows_moved_in, rows_moved_out,
                    share_before, share_after, change, low, high, p_value, q_value, family_size, suppressed
    drift_totals    before, after, dataset, rows_before, rows_after, came, went, moved, same, suppressed
    persons         dataset, person_column, num_rows, num_persons
    census.json     samples_version, compared_with (version), settings, notes (lines: what was not tested, and why),
                    hidden_splits (data set, split)

Drift compares with the version that the census before this one counted, and is empty for the first;
``ingest.drift.drift_between`` compares any two.
"""

from ingest.census.association import ASSOCIATIONS_SCHEMA, associations, cramers_v
from ingest.census.coded import Coded, encode
from ingest.census.config import CensusConfig, Reference
from ingest.census.counts import COUNTS_SCHEMA, WHOLE_CORPUS, count_levels, count_persons
from ingest.census.disclosure import suppress
from ingest.census.intervals import wilson
from ingest.census.pairs import with_partners
from ingest.census.take import take_census

__all__ = [
    "ASSOCIATIONS_SCHEMA",
    "COUNTS_SCHEMA",
    "WHOLE_CORPUS",
    "CensusConfig",
    "Coded",
    "Reference",
    "associations",
    "count_levels",
    "count_persons",
    "cramers_v",
    "encode",
    "suppress",
    "take_census",
    "wilson",
    "with_partners",
]
