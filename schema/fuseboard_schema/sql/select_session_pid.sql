-- Which process of the server works for this session. Reads only.
SELECT pg_backend_pid();
