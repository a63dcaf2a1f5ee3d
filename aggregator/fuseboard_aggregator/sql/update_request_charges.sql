-- Writes new charges to requests. Safe to repeat: the same charge changes nothing.
UPDATE llm_requests AS request
SET
    cost_usd = charge.cost_usd,
    price_id = charge.price_id,
    baseline_cost_usd = charge.baseline_cost_usd,
    baseline_price_id = charge.baseline_price_id,
    savings_usd = charge.savings_usd
FROM unnest(
    %(event_ids)s::uuid[],
    %(occurred_ats)s::timestamptz[],
    %(cost_usds)s::numeric[],
    %(price_ids)s::bigint[],
    %(baseline_cost_usds)s::numeric[],
    %(baseline_price_ids)s::bigint[],
    %(savings_usds)s::numeric[]
) AS charge(event_id, occurred_at, cost_usd, price_id, baseline_cost_usd, baseline_price_id, savings_usd)
WHERE request.event_id = charge.event_id
    AND request.occurred_at = charge.occurred_at
    AND request.occurred_at >= %(since)s
    AND request.occurred_at < %(until)s;
