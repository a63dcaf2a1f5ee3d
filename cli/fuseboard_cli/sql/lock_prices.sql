-- Lets one session at a time change prices, until its transaction ends; reading goes on. Safe to repeat.
LOCK TABLE llm_prices IN SHARE ROW EXCLUSIVE MODE;
