-- Find circuits whose transitions are not numbered without a gap. Only reads.
SELECT provider, count(*) AS transitions, max(version) AS version
FROM llm_circuit_transitions
GROUP BY provider
HAVING count(*) <> max(version) - min(version) + 1
