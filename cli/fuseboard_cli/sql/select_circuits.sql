-- All circuits in order of choice, and the time by which their deadlines are to be read. Reads only.
SELECT *, now() AS read_at FROM llm_circuits;
