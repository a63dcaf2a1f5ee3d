-- Takes from a role what it may read. Safe to repeat.
REVOKE ALL ON {relations} FROM {role};
