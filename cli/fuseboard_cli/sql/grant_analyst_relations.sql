-- Lets a role read tables and views. Safe to repeat.
GRANT SELECT ON {relations} TO {role};
