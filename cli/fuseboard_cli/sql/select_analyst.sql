-- A role of this name: whether it can log in, and whether it is one that `fuseboard analyst create` made. Reads only.
SELECT coalesce(shobj_description(oid, 'pg_authid') = 'fuseboard analyst', false) AS is_analyst
FROM pg_roles
WHERE rolname = %(name)s;
