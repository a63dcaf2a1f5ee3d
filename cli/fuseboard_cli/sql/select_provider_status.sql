-- All providers with their health and the state of their circuit, in order of choice. Reads only.
SELECT status.*, circuits.state AS circuit, circuits.is_throttled
FROM llm_provider_status AS status
JOIN llm_circuits AS circuits ON circuits.provider = status.name
ORDER BY status.priority, status.name;
