-- Moves all of one provider to another (G3). Safe to repeat: there is nothing left to be moved then.
SELECT llm_merge_provider(%(from_name)s, %(into_name)s);
