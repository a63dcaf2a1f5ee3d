"""The consumer: drains the event stream into PostgreSQL."""
