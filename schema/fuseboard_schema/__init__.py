"""What every part agrees on: the event, the tables, the settings."""
