from fuseboard_consumer.patience import FIRST_SECONDS, MAX_SECONDS, Patience


def test_a_slow_batch_is_given_time_until_it_is_done_and_a_fast_one_takes_it_back() -> None:
    patience = Patience()
    assert patience.seconds == FIRST_SECONDS

    # a batch that takes 12 seconds
    tries = 0
    while patience.seconds < 12:
        patience.note_timeout()
        tries += 1

    assert tries == 2
    patience.note_done(12)
    assert patience.seconds == 36
    patience.note_done(0.1)
    assert patience.seconds == FIRST_SECONDS


def test_patience_has_an_end() -> None:
    patience = Patience()
    for _ in range(20):
        patience.note_timeout()

    assert patience.seconds == MAX_SECONDS
