-- Takes from a role what it may do with this database. Safe to repeat.
REVOKE ALL ON DATABASE {database} FROM {role};
