-- What is on its way inside the database. Reads only.
SELECT * FROM llm_pipeline_status;
