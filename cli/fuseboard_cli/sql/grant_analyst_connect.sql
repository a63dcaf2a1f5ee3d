-- Lets a role connect to this database. Safe to repeat.
GRANT CONNECT ON DATABASE {database} TO {role};
