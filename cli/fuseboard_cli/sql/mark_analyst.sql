-- Marks a role as made here, so that no other is ever changed or dropped. Safe to repeat.
COMMENT ON ROLE {role} IS 'fuseboard analyst';
