from datetime import UTC, datetime, timedelta

from fuseboard_api.remembered_tokens import TOKENS_MAX, TRUST_SECONDS, RememberedTokens
from fuseboard_api.token_store import StoredToken


def make_token(number: int, expires_at: datetime | None = None) -> StoredToken:
    return StoredToken(str(number), number.to_bytes(32), "test", "write", "valid", expires_at, is_use_news=True)


def test_a_token_is_trusted_for_a_time_after_it_was_looked_up() -> None:
    now = 0.0
    tokens = RememberedTokens(clock=lambda: now)
    tokens.remember(make_token(1))

    now = TRUST_SECONDS
    assert tokens.recall(make_token(1).token_sha256) == make_token(1)
    now = TRUST_SECONDS + 1
    assert tokens.recall(make_token(1).token_sha256) is None
    assert tokens.was_right(make_token(1).token_sha256)


def test_a_token_that_has_expired_since_is_not_trusted() -> None:
    tokens = RememberedTokens()
    later = datetime.now(UTC) + timedelta(hours=1)
    for number, expires_at in enumerate((later, datetime.now(UTC))):
        tokens.remember(make_token(number, expires_at))

    assert tokens.recall(make_token(0).token_sha256) == make_token(0, later)
    assert tokens.recall(make_token(1).token_sha256) is None


def test_an_unknown_token_is_not_recalled() -> None:
    tokens = RememberedTokens()

    assert tokens.recall(make_token(1).token_sha256) is None
    assert not tokens.was_right(make_token(1).token_sha256)


def test_no_more_than_so_many_are_remembered_and_the_longest_unused_goes() -> None:
    tokens = RememberedTokens()
    for number in range(TOKENS_MAX):
        tokens.remember(make_token(number))
    tokens.remember(make_token(0))

    tokens.remember(make_token(TOKENS_MAX))

    assert tokens.was_right(make_token(0).token_sha256)
    assert not tokens.was_right(make_token(1).token_sha256)
