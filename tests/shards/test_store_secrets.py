"""Keys that a user puts into the URL of a bucket are refused before a library can quote them."""

import pytest

from ingest.errors import BadInput
from shards.store import Store


@pytest.mark.parametrize(
    "url", ["s3://AKIAUSER:secret@bucket/prefix", "s3a://secret@bucket", "gs://me:secret@bucket/x"]
)
def test_keys_in_the_url_of_a_bucket_are_refused_and_told_nowhere(url):
    with pytest.raises(BadInput, match="expected a bucket's name, got user or password before it") as refused:
        Store.at(url)
    assert "secret" not in str(refused.value) and "bucket" in str(refused.value)


def test_a_container_before_its_account_is_no_password():
    with pytest.raises(BadInput) as refused:
        Store.at("abfs://container@account.dfs.core.windows.net/x")
    assert "before it" not in str(refused.value)
