"""The aggregator: scheduled work on what the consumer stored."""
