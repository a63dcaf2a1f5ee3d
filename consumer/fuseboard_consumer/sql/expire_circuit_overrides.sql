-- Ends the overrides whose time has come. Safe to repeat: an override ends once.
SELECT llm_expire_circuit_overrides();
