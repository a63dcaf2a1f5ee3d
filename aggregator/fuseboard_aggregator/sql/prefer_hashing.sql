-- Makes the transaction aggregate by hashing: the planner cannot know how few groups the requests of a day form, and would
-- sort every request, which takes twice as long. Safe to repeat; ends with the transaction.
SELECT set_config('enable_sort', 'off', true);
